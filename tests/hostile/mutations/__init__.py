"""Mutated inputs against every place that reads bytes of others: what `make hostile` runs."""

from .channel_frames import open_frames
from .channel_processes import open_processes
from .rpc_bodies import open_bodies, open_bodies_process
from .service_calls import open_calls
from .service_processes import open_service_processes
from .store_files import open_files, open_files_processes
from .surface import Kind
from .websocket_frames import open_sockets, open_sockets_process

KINDS = {
    kind.name: kind
    for kind in (
        Kind("rpc", open_bodies, open_bodies_process),
        Kind("websocket", open_sockets, open_sockets_process),
        Kind("channel", open_frames, open_processes),
        Kind("service", open_calls, open_service_processes),
        Kind("store", open_files, open_files_processes),
    )
}
