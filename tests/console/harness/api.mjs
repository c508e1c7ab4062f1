// A client for the API: tests prepare data with it and compare it with what the page says.

import assert from 'node:assert/strict';

export class Api {
	constructor(url, token) {
		this.url = url;
		this.token = token;
	}

	send(method, path, body, headers = {}) {
		const all = {
			Authorization: `Bearer ${this.token}`,
			'Content-Type': 'application/json',
			...headers,
		};
		for (const [name, value] of Object.entries(all)) if (value === undefined) delete all[name];
		return fetch(this.url + path, {
			method,
			headers: all,
			body: body === undefined ? undefined : JSON.stringify(body),
		});
	}

	async #ok(method, path, body) {
		const reply = await this.send(method, path, body);
		const text = await reply.text();
		assert.equal(reply.status, 200, `${method} ${path}: ${text}`);
		return JSON.parse(text);
	}

	get(path) {
		return this.#ok('GET', path);
	}
	post(path, body) {
		return this.#ok('POST', path, body);
	}
	patch(path, body) {
		return this.#ok('PATCH', path, body);
	}
	delete(path) {
		return this.#ok('DELETE', path);
	}

	/** Returns the status only, for requests that should fail. */
	async status(method, path, body) {
		const reply = await this.send(method, path, body);
		await reply.arrayBuffer();
		return reply.status;
	}

	async secrets(environment) {
		return (await this.get(`/api/environments/${environment}/secrets`)).secrets;
	}

	async secret(environment, key) {
		return (await this.secrets(environment)).find((secret) => secret.key === key);
	}

	async addSecret(environment, key, value = `value of ${key}`, more = {}) {
		const body = { key, value, ...more };
		return (await this.post(`/api/environments/${environment}/secrets`, body)).secret;
	}

	/** Reveals a value with the token, which adds an event to the audit log. */
	async value(id) {
		return (await this.get(`/api/secrets/${id}/value`)).value;
	}

	async vars(environment) {
		return (await this.get(`/api/environments/${environment}/vars`)).vars;
	}

	async variable(environment, key) {
		return (await this.vars(environment)).find((one) => one.key === key);
	}

	async addVar(environment, key, value, description = null) {
		const body = { key, value, description };
		return (await this.post(`/api/environments/${environment}/vars`, body)).var;
	}

	async environments() {
		return (await this.get('/api/environments')).environments;
	}

	async settings(environment) {
		const path = `/api/environments/${environment}/settings/configuration`;
		return (await this.get(path)).settings;
	}

	set(environment, settings) {
		return this.patch(`/api/environments/${environment}/settings/configuration`, settings);
	}

	/** The newest events of an action. */
	async audit(action) {
		return (await this.get(`/api/audit-logs?action=${action}`)).logs;
	}
}
