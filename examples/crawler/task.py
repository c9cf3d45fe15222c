"""Crawl a website: every node walks it from the start page along a path of its own, and proves each page.

Which link is next follows from the node's seed and the pages before, so a proof copied from a neighbour is
seen to be copied without fetching anything; and an auditor fetches some pages again.
"""

import json
from hashlib import sha256
from urllib.parse import urljoin
from urllib.robotparser import RobotFileParser

from page import get_site, is_page, is_same_page, read_page

from roundwork import Refused, Task, Unavailable, per_unit

PRICE, STAKE = 100_000_000, 5_000_000_000  # roe for one page at this stake, less if the bounty does not reach
PAGES_MAX = 1000
PROOF_BYTES_MAX = 16_000


def count_pages(text):
    """The pages that a submission which stood claims; its auditors have checked the number."""
    return min(PAGES_MAX, int(text))


task = Task("crawler")
task.distribution(per_unit(PRICE, count_pages, slash="70%", stake=STAKE))


@task.work
def work(ctx):
    """Walk the site until the round's pages are fetched, half of the time is gone, or it stops answering."""
    pages, half = [], ctx.seconds_left() / 2
    robots = read_robots(ctx)
    while len(pages) < ctx.params["pages"] and ctx.seconds_left() > half:
        url = choose_next(ctx.seed, ctx.params["start"], pages)
        if url is None:
            break
        try:
            pages.append(fetch(ctx, url, robots))
        except (Unavailable, Refused):
            break
    keep(ctx, pages)


@task.submission
def submission(ctx):
    return ctx.state.get("proof")


@task.audit
def audit(ctx, candidate):
    """The proof holds together, follows the candidate's own path, and a sample of it is on the site."""
    if candidate.content_id is None:
        return False, "the submission is not a content id and a number of pages"
    pages = ctx.storage.get_json(candidate.content_id)
    if not isinstance(pages, list) or not all(map(is_page, pages)) or not pages:
        return False, "the proof is not a list of pages"
    if candidate.text != str(len(pages)) or len(pages) > min(PAGES_MAX, ctx.params["pages"]):
        return False, f"it claims {candidate.text[:20]} pages, and its proof has {len(pages)}"
    for number, page in enumerate(pages):
        if page["url"] != choose_next(candidate.seed, ctx.params["start"], pages[:number]):
            return False, f"page {number} is not on its path: {page['url'][:100]}"
    robots = read_robots(ctx)
    for number in ctx.random.sample(range(len(pages)), min(ctx.params["sample"], len(pages))):
        page = pages[number]
        try:
            again = fetch(ctx, page["url"], robots)
        except Refused:
            return False, f"no node can fetch {page['url'][:100]}"
        except Unavailable:
            if not is_linked(ctx, pages, number, robots):
                return False, f"no page of the site links to {page['url'][:100]}"
            raise
        if not is_same_page(page, again):
            return False, f"the site has another page at {page['url'][:100]}"
    return True


@task.lie
def lie(ctx):
    """Pages that were never fetched, on a path that looks right."""
    pages = []
    for number in range(ctx.params["pages"]):
        url = choose_next(ctx.seed, ctx.params["start"], pages)
        links = [f"/invented-{number}-{each}.html" for each in range(3)]
        digest = sha256(f"{url} {number}".encode()).hexdigest()
        pages.append({"url": url, "status": 200, "title": f"Page {number}", "links": links, "digest": digest})
    keep(ctx, pages)
    return ctx.state["proof"]


def keep(ctx, pages):
    """Store the proof and remember what to submit: its content id and how many pages are in it.

    A proof has a largest size, so the last pages stay out if they do not fit.
    """
    while pages:
        proof = json.dumps(pages, sort_keys=True, separators=(",", ":")).encode()
        if len(proof) <= PROOF_BYTES_MAX:
            ctx.state["proof"] = f"{ctx.proof(proof)} {len(pages)}"
            return
        pages.pop()


def fetch(ctx, url, robots):
    """The record of a page; a page that is not HTML, or is gone, has no title and no links."""
    answer = ctx.http.get(url)
    if answer.status >= 500:
        raise Unavailable(f"{url} answers {answer.status}")
    is_html = answer.status == 200 and answer.headers.get("content-type", "").startswith("text/html")
    page = read_page(url, answer.status, answer.text if is_html else "", ctx.params.get("skip", ()))
    page["links"] = [link for link in page["links"] if robots.can_fetch("roundwork", link)]
    return page


def is_linked(ctx, pages, number, robots):
    """Whether the site leads to a page that does not answer now. Each page before it is fetched once at most.

    Without this, a liar invents a link to what never answers: no auditor would have an opinion of its pages.
    """
    site, doubted, links = get_site(ctx.params["start"]), [number], {}
    for at in doubted:  # grows by those before it that do not answer either
        link = pages[at]["url"].removeprefix(site)
        for before in range(at):
            if link in pages[before]["links"]:
                if before not in links:
                    links[before] = fetch_links(ctx, pages[before]["url"], robots)
                    if links[before] is None:
                        doubted.append(before)
                if links[before] is not None and link in links[before]:
                    return True
    return 0 in doubted


def fetch_links(ctx, url, robots):
    """The links of a page; None if it does not answer."""
    try:
        return fetch(ctx, url, robots)["links"]
    except Refused:
        return []
    except Unavailable:
        return None


def read_robots(ctx):
    """The site's robots.txt, if it has one."""
    robots = RobotFileParser()
    answer = ctx.http.get(urljoin(ctx.params["start"], "/robots.txt"))
    is_text = answer.status == 200 and answer.headers.get("content-type", "").startswith("text/plain")
    robots.parse(answer.text.splitlines() if is_text else [])
    return robots


def choose_next(seed, start, pages):
    """Where a walk with this seed goes after these pages; None when it has seen everything."""
    if not pages:
        return start
    site, seen = get_site(start), {page["url"] for page in pages}
    known = {site + link for page in pages for link in page["links"]} - seen
    return min(known, key=lambda url: sha256(seed + url.encode()).digest(), default=None)
