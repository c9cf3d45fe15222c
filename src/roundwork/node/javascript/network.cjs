// Loaded before a main.js, after preload.cjs: HTTP and HTTPS to other hosts go through its node, which permits them
// by name and connects. TLS begins and ends in this process. Covered are the agents of http and https, which axios and
// node-fetch use, and fetch.
'use strict';

const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const tls = require('node:tls');
const { getEnvironmentData, isMainThread, setEnvironmentData } = require('node:worker_threads');

const NAME = 'MAIN_JS_NETWORK';
const HEAD_BYTES_MAX = 16 * 1024;
const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1']);

const given = isMainThread ? process.env[NAME] : getEnvironmentData(NAME);
if (given !== undefined) {
  delete process.env[NAME];
  setEnvironmentData(NAME, given);
  install(JSON.parse(given));
}

// `port`: where the node listens; `secret`: what it requires; `direct`: "host:port" of what is reached without it.
function install({ port: nodePort, secret, direct }) {
  const places = new Set(direct);
  const isDirect = (host, port) =>
    (LOOPBACK.has(host) ? ['127.0.0.1', '[::1]'] : [host]).some((each) => places.has(`${each}:${port}`));

  // A socket to a host through the node; `done(error, socket)`.
  function openTunnel(host, port, done) {
    const socket = net.connect(nodePort, '127.0.0.1');
    const place = `${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
    let head = '';
    const fail = (error) => {
      socket.destroy();
      done(error);
    };
    const closed = () => fail(new Error(`${place}: the node closed the connection`));
    socket.once('error', fail);
    socket.once('end', closed);
    socket.write(`CONNECT ${place} HTTP/1.1\r\nProxy-Authorization: Bearer ${secret}\r\n\r\n`);
    read();

    function read() {
      const chunk = socket.read();
      if (chunk === null) return void socket.once('readable', read);
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return head.length > HEAD_BYTES_MAX ? fail(new Error(`${place}: no answer of the node`)) : read();
      socket.off('error', fail);
      socket.off('end', closed);
      const [, status, reason] = /^HTTP\/1\.1 (\d+) ?(.*)/.exec(head) ?? [];
      if (status !== '200') return fail(Object.assign(new Error(`${place}: ${reason}`), { code: 'ECONNREFUSED' }));
      const rest = head.slice(end + 4);
      if (rest) socket.unshift(Buffer.from(rest, 'latin1'));
      done(null, socket);
    }
  }

  const connectPlain = http.Agent.prototype.createConnection;
  http.Agent.prototype.createConnection = function createConnection(options, done) {
    const { host = 'localhost', port, socketPath } = options;
    if (socketPath || isDirect(host, port)) return connectPlain.call(this, options, done);
    openTunnel(host, port, done);
    return undefined;
  };

  const connectSecure = https.Agent.prototype.createConnection;
  https.Agent.prototype.createConnection = function createConnection(options, done) {
    const { host = 'localhost', port, socketPath } = options;
    if (socketPath || isDirect(host, port)) return connectSecure.call(this, options, done);
    openTunnel(host, port, (error, socket) => {
      if (error) done(error);
      else done(null, connectSecure.call(this, { ...options, socket }));
    });
    return undefined;
  };

  // The dispatcher of fetch is made when one of its classes is first used.
  void globalThis.Response;
  const place = Symbol.for('undici.globalDispatcher.1');
  const Dispatcher = globalThis[place]?.constructor;
  if (Dispatcher !== undefined) globalThis[place] = new Dispatcher({ connect: connectForFetch });

  function connectForFetch({ hostname, port, protocol, servername }, done) {
    const isSecure = protocol === 'https:';
    const host = hostname.replace(/^\[|\]$/g, '');
    const number = Number(port) || (isSecure ? 443 : 80);
    const secure = (error, socket) => {
      if (error || !isSecure) return done(error, socket);
      const name = servername || (net.isIP(host) ? '' : host);
      return wait(tls.connect({ socket, host, servername: name, ALPNProtocols: ['http/1.1'] }), 'secureConnect', done);
    };
    if (isDirect(host, number)) wait(net.connect(number, host), 'connect', secure);
    else openTunnel(host, number, secure);
  }
}

// Calls `done(error, socket)` once a socket is ready.
function wait(socket, event, done) {
  const fail = (error) => done(error);
  socket.once('error', fail);
  socket.once(event, () => {
    socket.off('error', fail);
    done(null, socket);
  });
}
