// Everything that a planted text may have left a trace in: the document with its
// fields and shadow trees, storage of every kind, addresses, the history, the
// console, every request and answer, the server's log.

import assert from 'node:assert/strict';
import { needles } from './needles.mjs';

export class Trail {
  #needles = [];
  #mayBeSent = [];
  #mayBeShown = [];

  constructor(stage) {
    this.stage = stage;
  }

  /** `token`: a part of it that is looked for as well, should only a piece leak. */
  plant(name, text, token) {
    for (const part of token ? [text, token] : [text]) {
      this.#needles.push(...needles(part).map((one) => ({ ...one, name })));
    }
  }

  /** In this request's body it belongs: expressions for `METHOD /path`. */
  sentBy(...requests) {
    this.#mayBeSent.push(...requests);
  }

  /** In this request's headers it belongs: a credential. */
  shownBy(...requests) {
    this.#mayBeShown.push(...requests);
  }

  #search(place, text) {
    const found = this.#needles.filter(({ needle }) => text.includes(needle));
    return [...new Set(found.map(({ name, form }) => `${place} holds ${name} as ${form}`))];
  }

  /** `inField`: the form is still open, and its field may hold what was typed. */
  async findings({ inField = false } = {}) {
    const { watch, context, coffer } = this.stage;
    await watch.settle();
    const found = [];
    for (const page of context.pages()) {
      // An empty page has no storage, and nothing to say.
      if (page.url().startsWith('about:')) continue;
      for (const [place, text] of Object.entries(await page.evaluate(snapshot))) {
        if (inField && place === 'fields') continue;
        found.push(...this.#search(place, text));
      }
    }
    const { cookies } = await context.storageState();
    found.push(...this.#search('a cookie', JSON.stringify(cookies)));
    for (const request of watch.requests) {
      const { pathname } = new URL(request.url());
      const what = `${request.method()} ${pathname}`;
      found.push(...this.#search(`the address ${pathname}`, request.url()));
      const among = (all) => all.some((one) => one.test(what));
      const headers = JSON.stringify(request.headers());
      if (!among(this.#mayBeShown)) found.push(...this.#search(`headers of ${what}`, headers));
      const body = request.postData() ?? '';
      if (!among(this.#mayBeSent)) found.push(...this.#search(`the body of ${what}`, body));
    }
    for (const { url, headers, body } of watch.responses) {
      const text = JSON.stringify(headers) + body.toString('utf8');
      found.push(...this.#search(`the answer of ${url}`, text));
    }
    for (const line of watch.lines) found.push(...this.#search('the console', line));
    found.push(...this.#search("the server's log", coffer.log));
    return found;
  }

  async assertClean(options) {
    assert.deepEqual(await this.findings(options), []);
  }

  /** That it was sent at all: otherwise nothing was proved. */
  assertSent(request) {
    const sent = this.stage.watch.requests.some((one) => {
      const what = `${one.method()} ${new URL(one.url()).pathname}`;
      return what.match(request) && this.#search('', one.postData() ?? '').length > 0;
    });
    assert.ok(sent, `no ${request} carried it`);
  }
}

/** Run in the page. */
async function snapshot() {
  const fields = [];
  const trees = [document.documentElement.outerHTML];
  const walk = (root) => {
    for (const element of root.querySelectorAll('*')) {
      if ('value' in element) fields.push(String(element.value), String(element.defaultValue));
      if (element.shadowRoot) {
        trees.push(element.shadowRoot.innerHTML);
        walk(element.shadowRoot);
      }
    }
  };
  walk(document);
  const kept = {
    local: { ...localStorage }, session: { ...sessionStorage }, cookie: document.cookie,
    databases: await indexedDB.databases(),
    caches: globalThis.caches ? await caches.keys() : [],
  };
  const entries = performance.getEntries().map((entry) => entry.name);
  return {
    'the document': trees.join('\n'),
    fields: fields.join('\n'),
    storage: JSON.stringify(kept),
    'the address': `${location.href} ${decodeURIComponent(location.href)}`,
    history: JSON.stringify(history.state) ?? '',
    'title and name': `${document.title} ${window.name}`,
    timings: entries.join('\n'),
    'globals': Object.keys(globalThis).map((key) => {
      try { return typeof globalThis[key] === 'string' ? globalThis[key] : ''; } catch { return ''; }
    }).join('\n'),
  };
}
