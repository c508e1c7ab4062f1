// The browser of one test: an isolated context, a logged-in user, a page, and the actions
// that every test needs.

import assert from 'node:assert/strict';
import { eventually, PATIENCE } from './eventually.mjs';
import { overlay } from './overlay.mjs';
import { ADMIN } from './server.mjs';
import { Watch } from './watch.mjs';

export const WIDE = { width: 1280, height: 800 };
export const MEDIUM = { width: 800, height: 800 };
export const NARROW = { width: 360, height: 740 };

export class Stage {
	/**
	 * `as`: 'admin', 'operator', 'viewer', a user, or null for no login. `allow`: error
	 * statuses that the test expects. `fresh`: do not share the session with other tests.
	 */
	static async open(browser, coffer, options = {}) {
		const { as = 'admin', allow = [], viewport = WIDE, colorScheme = 'light', fresh } = options;
		const stage = new Stage();
		Object.assign(stage, { browser, coffer, api: coffer.api, url: coffer.url });
		stage.context = await browser.newContext({
			viewport,
			colorScheme,
			baseURL: coffer.url,
			reducedMotion: 'reduce',
			locale: 'en-GB',
			timezoneId: 'UTC',
		});
		stage.context.setDefaultTimeout(PATIENCE);
		stage.watch = await Watch.begin(stage.context, coffer.url);
		stage.watch.allow(...allow);
		await overlay(stage.context, process.env.COFFER_CONSOLE_OVERLAY);
		if (as) await stage.become(as, fresh);
		stage.page = await stage.context.newPage();
		return stage;
	}

	async become(who, fresh = false) {
		const people = { admin: async () => ADMIN };
		const user = typeof who === 'string' ? await (people[who]?.() ?? this.coffer.user(who)) : who;
		await this.context.addCookies([await this.coffer.cookie(user, fresh)]);
	}

	environment(displayName) {
		return this.coffer.environment(displayName);
	}

	/** Opens a path and waits for the heading of the view. */
	async open(path, heading) {
		await this.page.goto(path);
		await this.heading(heading).waitFor();
	}

	heading(name) {
		const query = name === undefined ? { level: 1 } : { level: 1, name, exact: true };
		return this.page.getByRole('heading', query);
	}

	dialog(name) {
		return this.page.getByRole('dialog', { name, exact: true });
	}

	/** Finds a button by its exact name. */
	button(name, within = this.page) {
		return within.getByRole('button', { name, exact: true });
	}

	link(name, within = this.page) {
		return within.getByRole('link', { name, exact: true });
	}

	/** Finds a text field by its exact label. */
	field(name, within = this.page) {
		return within.getByRole('textbox', { name, exact: true });
	}

	checkbox(name, within = this.page) {
		return within.getByRole('checkbox', { name });
	}

	select(name, within = this.page) {
		return within.getByRole('combobox', { name, exact: true });
	}

	/** Chooses the option whose text matches. */
	async choose(select, pattern) {
		const value = await eventually(`an option ${pattern}`, () =>
			select.evaluate(
				(element, [source, flags]) => {
					const option = [...element.options].find((one) => new RegExp(source, flags).test(one.text));
					return option?.value ?? null;
				},
				[pattern.source, pattern.flags],
			),
		);
		await select.selectOption(value);
	}

	/** Finds the table row that contains exactly this text. */
	row(name, within = this.page) {
		return within.getByRole('row').filter({ has: this.page.getByText(name, { exact: true }) });
	}

	/** Clicks a button and waits for the dialog it opens. */
	async press(name, dialog, within = this.page) {
		await this.button(name, within).click();
		const opened = this.dialog(dialog);
		await opened.waitFor();
		return opened;
	}

	/** Clicks a link in a table and waits for the dialog of that name. */
	async follow(name) {
		await this.link(name).click();
		const opened = this.dialog(name);
		await opened.waitFor();
		return opened;
	}

	/** Waits until an element is hidden or removed. */
	async gone(locator) {
		await locator.waitFor({ state: 'hidden' });
		// The close event of a dialog, which restores focus, comes a task later.
		await eventually(
			'closed dialogs are removed',
			async () => (await this.page.locator('dialog:not([open])').count()) === 0,
		);
	}

	/** Waits for a toast with this text. */
	async toast(words) {
		await this.page.locator('#toasts').filter({ hasText: words }).waitFor();
	}

	/** Waits for an alert with all of these texts. */
	async alert(...words) {
		const alert = this.page.getByRole('alert').filter({ visible: true });
		await eventually(`an alert with ${words}`, async () => {
			const texts = (await alert.allInnerTexts()).join('\n');
			for (const one of words) {
				const found = one instanceof RegExp ? one.test(texts) : texts.includes(one);
				assert.ok(found, `${one} is not in: ${texts}`);
			}
			return true;
		});
	}

	/** Waits until a field is marked invalid with this message and has focus. */
	async refused(field, words) {
		await eventually(`the field is invalid: ${words}`, async () => {
			assert.equal(await field.getAttribute('aria-invalid'), 'true');
			const text = await field.evaluate((element) =>
				(element.getAttribute('aria-describedby') ?? '')
					.split(/\s+/)
					.map((id) => document.getElementById(id)?.innerText ?? '')
					.join('\n'),
			);
			assert.match(text, words);
			assert.ok(await field.evaluate((element) => element === document.activeElement), 'no focus');
			return true;
		});
	}

	path() {
		const url = new URL(this.page.url());
		return url.pathname + url.search;
	}

	/** Waits until the URL is this path. */
	async arrive(path) {
		await eventually(`the URL is ${path}`, () => {
			const now = this.path();
			assert.equal(now, path);
			return true;
		});
	}

	async close() {
		// Ignore requests that are still running.
		await this.context.unrouteAll({ behavior: 'ignoreErrors' });
		await this.context.close();
	}
}
