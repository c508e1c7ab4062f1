// Searches for planted texts everywhere they could leak: the document with its fields and
// shadow trees, every kind of storage, URLs, history, the console, every request and
// response, and the log of the server.

import assert from 'node:assert/strict';
import { needles } from './needles.mjs';

export class LeakSearch {
	#needles = [];
	#allowedInBodies = [];
	#allowedInHeaders = [];

	constructor(stage) {
		this.stage = stage;
	}

	/** Adds a text to search for. `token` is a part of it that is searched for as well. */
	plant(name, text, token) {
		for (const part of token ? [text, token] : [text]) {
			this.#needles.push(...needles(part).map((one) => ({ ...one, name })));
		}
	}

	/** Allows planted texts in the bodies of these requests: patterns of `METHOD /path`. */
	allowInBody(...requests) {
		this.#allowedInBodies.push(...requests);
	}

	/** Allows planted texts in the headers of these requests, for credentials. */
	allowInHeaders(...requests) {
		this.#allowedInHeaders.push(...requests);
	}

	#search(place, text) {
		const found = this.#needles.filter(({ needle }) => text.includes(needle));
		return [...new Set(found.map(({ name, form }) => `${place} holds ${name} as ${form}`))];
	}

	/** Returns where texts were found. `inField`: the form is open, so fields may hold them. */
	async findings({ inField = false } = {}) {
		const { watch, context, coffer } = this.stage;
		await watch.settle();
		const found = [];
		for (const page of context.pages()) {
			// A blank page has no storage.
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
			found.push(...this.#search(`the URL ${pathname}`, request.url()));
			const among = (all) => all.some((one) => one.test(what));
			const headers = JSON.stringify(request.headers());
			if (!among(this.#allowedInHeaders)) found.push(...this.#search(`headers of ${what}`, headers));
			const body = request.postData() ?? '';
			if (!among(this.#allowedInBodies)) found.push(...this.#search(`the body of ${what}`, body));
		}
		for (const { url, headers, body } of watch.responses) {
			const text = JSON.stringify(headers) + body.toString('utf8');
			found.push(...this.#search(`the response of ${url}`, text));
		}
		for (const line of watch.lines) found.push(...this.#search('the console', line));
		found.push(...this.#search("the server's log", coffer.log));
		return found;
	}

	async assertClean(options) {
		assert.deepEqual(await this.findings(options), []);
	}

	/** Fails if no request carried the text, because then the test proved nothing. */
	assertSent(request) {
		const sent = this.stage.watch.requests.some((one) => {
			const what = `${one.method()} ${new URL(one.url()).pathname}`;
			return what.match(request) && this.#search('', one.postData() ?? '').length > 0;
		});
		assert.ok(sent, `no ${request} carried the text`);
	}
}

/** Collects all places. Runs in the page. */
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
		local: { ...localStorage },
		session: { ...sessionStorage },
		cookie: document.cookie,
		databases: await indexedDB.databases(),
		caches: globalThis.caches ? await caches.keys() : [],
	};
	const entries = performance.getEntries().map((entry) => entry.name);
	return {
		'the document': trees.join('\n'),
		fields: fields.join('\n'),
		storage: JSON.stringify(kept),
		'the URL': `${location.href} ${decodeURIComponent(location.href)}`,
		history: JSON.stringify(history.state) ?? '',
		'title and name': `${document.title} ${window.name}`,
		timings: entries.join('\n'),
		globals: Object.keys(globalThis)
			.map((key) => {
				try {
					return typeof globalThis[key] === 'string' ? globalThis[key] : '';
				} catch {
					return '';
				}
			})
			.join('\n'),
	};
}
