// Watches a page and collects what it must never do: violate the content security policy,
// log an error or a warning, throw, send a request to another origin, or receive an error
// status that the test does not expect.

import assert from 'node:assert/strict';

/** Reported from inside the page, because Chromium's own message varies. */
const POLICY = 'CSP violation';

export class Watch {
	#allowed = new Set();
	#findings = [];
	#forgiven = false;
	#pending = new Set();
	/** All traffic, for the leak search. */
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

	/** Allows error statuses, or `'network'` for an unreachable server. */
	allow(...statuses) {
		for (const status of statuses) this.#allowed.add(status);
	}

	/** Allows everything from now on, for tests of the watch itself. */
	forgive() {
		this.#forgiven = true;
	}

	#add(finding) {
		this.#findings.push(finding);
	}

	#console(message) {
		this.lines.push(message.text());
		if (!['error', 'warning', 'assert'].includes(message.type())) return;
		// Chromium logs one for each response with an error status.
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
			// The response has no body, or its page is closed.
			.catch(async () => [await response.allHeaders().catch(() => ({})), Buffer.alloc(0)])
			.then(([headers, body]) => {
				this.responses.push({ url: response.url(), status, headers, body });
			})
			.finally(() => this.#pending.delete(reading));
		this.#pending.add(reading);
	}

	/** Waits for responses that are still being read. */
	async settle() {
		const all = Promise.all(this.#pending);
		// Do not wait for a stream that never ends.
		await Promise.race([all, new Promise((resolve) => setTimeout(resolve, 2000).unref())]);
	}

	findings() {
		return [...this.#findings];
	}

	assertClean() {
		if (this.#forgiven) return;
		assert.deepEqual(this.#findings, [], 'violations by the page');
	}
}
