"""What a crawler keeps of a page: its title, its links, a digest of its text."""

from hashlib import sha256
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

LINKS_MAX = 200


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.title, self.links, self.text = "", [], []
        self._inside = []

    def handle_starttag(self, tag, attrs):
        if tag in ("title", "script", "style"):
            self._inside.append(tag)
        elif tag == "a" and (href := dict(attrs).get("href")):
            self.links.append(href)

    def handle_endtag(self, tag):
        if tag in self._inside:
            self._inside.remove(tag)

    def handle_data(self, data):
        if "title" in self._inside:
            self.title += data
        elif not self._inside:
            self.text.append(data)


def read_page(url, status, html, skip=()):
    """The record of a page; links are paths on the same site, without fragments, in order, each once."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    links = dict.fromkeys(urldefrag(urljoin(url, href)).url for href in reader.links)
    site = get_site(url)
    kept = [link.removeprefix(site) for link in links if _is_followed(link, url, skip)]
    text = " ".join(" ".join(reader.text).split())
    return {
        "url": url,
        "status": status,
        "title": " ".join(reader.title.split())[:200],
        "links": kept[:LINKS_MAX],
        "digest": sha256(text.encode()).hexdigest(),
    }


def get_site(url):
    """Scheme and host of a URL, without a path; a link of a record goes behind it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def is_same_page(page, again):
    """Whether two records are of one page, which may have changed a little between two visits."""
    if page["digest"] == again["digest"] and page["links"] == again["links"]:
        return True
    before, after = set(page["links"]), set(again["links"])
    overlap = len(before & after) / max(1, len(before | after))
    return page["status"] == again["status"] and page["title"] == again["title"] and overlap > 0.7


def is_page(page):
    """Whether a value is a record that a node may have made: its links lead to the same site."""
    try:
        for text in (page["url"], page["title"], page["digest"], *page["links"]):
            text.encode()
        is_record = isinstance(page["status"], int) and isinstance(page["links"], list)
        return is_record and all(link[:1] in ("", "/", "?") for link in page["links"])
    except (TypeError, KeyError, AttributeError, UnicodeEncodeError):
        return False


def _is_followed(link, url, skip):
    try:
        site, own = urlsplit(link), urlsplit(url)
    except ValueError:
        return False
    return site.scheme == own.scheme and site.netloc == own.netloc and not any(part in link for part in skip)
