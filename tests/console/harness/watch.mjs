// Listens to everything that a page does, and holds against it what no page of ours
// may do: break its own content security policy, write an error or a warning to the
// console, throw, talk to another origin, get an answer that the test did not expect.

import assert from 'node:assert/strict';

/** Told from inside the page, because Chromium words its own message differently. */
const POLICY = 'CSP violation';

export class Watch {
  #allowed = new Set();
  #findings = [];
  #forgiven = false;
  #pending = new Set();
  /** Everything that came and went, for those who search it. */
  requests = [];
  responses = [];
  lines = [];

  constructor(context, origin) {
    this.origin = origin;
    context.on('console', (message) => this.#console(message));
    context.on('weberror', (error) => this.#add(`uncaught: ${error.error().stack || error.error()}`));
    context.on('request', (request) => this.#request(request));
    context.on('response', (response) => this.#response(response));
  }

  static async begin(context, origin) {
    const watch = new Watch(context, origin);
    await context.addInitScript((name) => {
      addEventListener('securitypolicyviolation', (event) => {
        console.error(`${name}: ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`);
      });
    }, POLICY);
    return watch;
  }

  /** Statuses that a refusal brings, or `'network'` for a server that is away. */
  allow(...statuses) {
    for (const status of statuses) this.#allowed.add(status);
  }

  /** What a test has done itself, to see that it is seen. From then on all is allowed. */
  forgive() {
    this.#forgiven = true;
  }

  #add(finding) {
    this.#findings.push(finding);
  }

  #console(message) {
    this.lines.push(message.text());
    if (!['error', 'warning', 'assert'].includes(message.type())) return;
    // Chromium writes one for each answer from 400 on.
    const [, status] = /Failed to load resource: .* status of (\d+)/.exec(message.text()) ?? [];
    if (status && this.#allowed.has(Number(status))) return;
    if (this.#allowed.has('network') && /Failed to load resource: net::/.test(message.text())) {
      return;
    }
    this.#add(`console ${message.type()}: ${message.text()} (${message.location().url})`);
  }

  #request(request) {
    this.requests.push(request);
    const { protocol, origin } = new URL(request.url());
    if (['data:', 'blob:', 'about:'].includes(protocol)) return;
    if (origin !== this.origin) this.#add(`a request to another origin: ${request.url()}`);
  }

  #response(response) {
    const status = response.status();
    const { pathname } = new URL(response.url());
    if (status >= 400 && !this.#allowed.has(status)) {
      this.#add(`${response.request().method()} ${pathname}: ${status}`);
    }
    const reading = Promise.all([response.allHeaders(), response.body()])
      // An answer without a body, or one whose page is gone.
      .catch(async () => [await response.allHeaders().catch(() => ({})), Buffer.alloc(0)])
      .then(([headers, body]) => {
        this.responses.push({ url: response.url(), status, headers, body });
      })
      .finally(() => this.#pending.delete(reading));
    this.#pending.add(reading);
  }

  /** Waits for the answers that are still being read. */
  async settle() {
    const all = Promise.all(this.#pending);
    // A stream that never ends is not waited for.
    await Promise.race([all, new Promise((resolve) => setTimeout(resolve, 2000).unref())]);
  }

  findings() {
    return [...this.#findings];
  }

  assertClean() {
    if (this.#forgiven) return;
    assert.deepEqual(this.#findings, [], 'what the page must not do');
  }
}
