// Runs the real binary as a child process, on a free port with a new data directory, and
// gives tests a client for its API.
//
// Must never: leave a process or a directory behind.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Api } from './api.mjs';

/** The first user, unless a test file asks for a server without one. */
export const ADMIN = { email: 'ada@example.org', password: 'seven lamps on the quay' };

/** Tests log in often and send many requests from one address: fast hashes, no limits. */
const VARIABLES = {
	COFFER_AUTH__ARGON2_MEMORY_KIB: '8192',
	COFFER_AUTH__ARGON2_PASSES: '1',
	COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE: '0',
	COFFER_RATE_LIMIT__ANONYMOUS_PER_MINUTE: '0',
	COFFER_RATE_LIMIT__LOGIN_FAILURES: '0',
};

export class Coffer {
	/**
	 * `variables` are added to the environment; `config(directory)` returns the text of
	 * config.toml; with `withoutUser`, no first user is created.
	 */
	static async start({ variables = {}, config, withoutUser = false } = {}) {
		const coffer = new Coffer();
		coffer.directory = mkdtempSync(join(tmpdir(), 'coffer-browser-'));
		coffer.dataDir = join(coffer.directory, 'data');
		writeFileSync(join(coffer.directory, 'config.toml'), config?.(coffer.directory) ?? '');
		const first = { COFFER_ADMIN_EMAIL: ADMIN.email, COFFER_ADMIN_PASSWORD: ADMIN.password };
		coffer.variables = {
			PATH: process.env.PATH,
			...VARIABLES,
			...(withoutUser ? {} : first),
			...variables,
		};
		await coffer.run('127.0.0.1:0');
		coffer.bootstrapToken = readFileSync(join(coffer.dataDir, 'bootstrap-token'), 'utf8').trim();
		coffer.api = new Api(coffer.url, coffer.bootstrapToken);
		return coffer;
	}

	log = '';
	#environments = 0;
	#cookies = new Map();
	#users = new Map();

	async run(listen) {
		const words = ['serve', '--listen', listen, '--data-dir', this.dataDir];
		this.child = spawn(process.env.COFFER_BINARY, words, {
			cwd: this.directory,
			env: this.variables,
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		this.ended = new Promise((resolve) => this.child.once('exit', resolve));
		// Do not outlive a test process that is killed.
		process.once('exit', () => this.child.kill('SIGKILL'));
		this.child.stderr.on('data', (text) => {
			this.log += text;
		});
		this.url = await new Promise((resolve, reject) => {
			createInterface(this.child.stdout).on('line', (line) => {
				this.log += `${line}\n`;
				const [, url] = /listening on (\S+)/i.exec(line) ?? [];
				if (url) resolve(url);
			});
			this.ended.then(() => reject(new Error(`the server did not start: ${this.log}`)));
			this.child.once('error', reject);
		});
	}

	async stop() {
		this.child.kill('SIGTERM');
		await this.ended;
		rmSync(this.directory, { recursive: true, force: true });
		const complaints = this.log.split('\n').filter((line) => / (ERROR|WARN) |panicked/.test(line));
		assert.deepEqual(complaints, [], 'warnings and errors in the log of the server');
	}

	/** Creates an environment that no other test uses. */
	async environment(displayName) {
		const name = `env-${++this.#environments}`;
		await this.api.post('/api/environments', { name, displayName });
		return name;
	}

	/** Returns the user of this name, created on first use. */
	async user(name, role = name, scope = { allEnvironments: true }) {
		if (!this.#users.has(name)) {
			const email = `${name}@example.org`;
			const password = `the password of ${name}`;
			const body = { email, password, name, role, ...scope };
			const { user } = await this.api.post('/api/users', body);
			this.#users.set(name, { ...user, password });
		}
		return this.#users.get(name);
	}

	/** Returns a session cookie, shared by all tests of a file unless `fresh`. */
	async cookie({ email, password }, fresh = false) {
		if (fresh || !this.#cookies.has(email)) {
			const reply = await this.api.send(
				'POST',
				'/api/auth/login',
				{ email, password },
				{ 'X-Coffer': '1', Authorization: undefined },
			);
			assert.equal(reply.status, 200, await reply.text());
			const [cookie] = reply.headers.getSetCookie();
			const [, name, value] = /^([^=]+)=([^;]+)/.exec(cookie);
			this.#cookies.set(email, { name, value, url: this.url, httpOnly: true, sameSite: 'Strict' });
		}
		return this.#cookies.get(email);
	}
}
