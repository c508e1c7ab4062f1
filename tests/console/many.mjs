// An environment with 5,000 secrets: the filter keeps up with typing, the document stays
// small, and the last row can be reached.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

const MANY = 5000;
/** From key press to painted result, in milliseconds. */
const AT_ONCE = 100;

const name = (n) => `SERVICE_${String(n).padStart(4, '0')}_${['URL', 'TOKEN', 'PASSWORD'][n % 3]}`;

const check = suite({
	variables: { COFFER_BOOTSTRAP__ENVIRONMENTS: 'crowded' },
	async prepare({ api }) {
		for (let from = 0; from < MANY; from += 1000) {
			const secrets = Array.from({ length: 1000 }, (_, at) => ({
				key: name(from + at),
				value: `value ${from + at}`,
				description: `number ${from + at}`,
				neverReveal: at % 2 === 0,
			}));
			await api.post('/api/environments/crowded/secrets/import', { secrets });
		}
	},
});

async function crowded(stage) {
	await stage.open('/secrets/crowded', 'Secrets');
	await stage.page
		.locator('#count')
		.filter({ hasText: /5[, ]?000 of 5[, ]?000 secrets/ })
		.waitFor();
	await stage.link(name(0)).waitFor();
}

const filter = (stage) => stage.page.getByRole('searchbox', { name: 'Filter secrets' });
/** Rows with a key, so not the header. */
const bodyRows = (stage) =>
	stage.page
		.getByRole('main')
		.getByRole('row')
		.filter({ has: stage.page.getByRole('link') });

check('the filter keeps up with typing', async (stage) => {
	await crowded(stage);
	await stage.page.evaluate(() => {
		globalThis.times = [];
		let since = null;
		addEventListener(
			'input',
			(event) => {
				since = event.timeStamp;
			},
			{ capture: true },
		);
		new MutationObserver(() => {
			if (since === null) return;
			const began = since;
			since = null;
			// The first frame paints it; in the second it is on screen.
			requestAnimationFrame(() =>
				requestAnimationFrame(() => {
					globalThis.times.push(performance.now() - began);
				}),
			);
		}).observe(document.getElementById('count'), { childList: true, characterData: true, subtree: true });
	});
	const field = filter(stage);
	await field.focus();
	let answers = 0;
	const matches = (typed) =>
		Array.from({ length: MANY }, (_, n) => `${name(n)} number ${n}`).filter((text) =>
			text.toLowerCase().includes(typed.toLowerCase()),
		).length;
	const count = async () => {
		const text = await stage.page.locator('#count').innerText();
		return Number(text.split(' of ')[0].replace(/\D/g, ''));
	};
	for (const typed of ['42', '17', '777', '9_T', '0_P', '5', '88', '3_U']) {
		for (let end = 1; end <= typed.length; end += 1) {
			const [before, want] = [await count(), matches(typed.slice(0, end))];
			await stage.page.keyboard.type(typed[end - 1]);
			await eventually(`${want} match ${typed.slice(0, end)}`, async () => (await count()) === want);
			if (want !== before) answers += 1;
		}
		await field.press('Escape');
		await eventually('all rows match again', async () => (await count()) === MANY);
	}
	const times = await eventually('every key press is painted', () =>
		stage.page.evaluate((least) => (globalThis.times.length >= least ? globalThis.times : false), answers),
	);
	const sorted = [...times].sort((a, b) => a - b);
	const median = sorted[Math.floor(sorted.length / 2)];
	const [middle, worst] = [median, sorted.at(-1)].map((time) => `${time.toFixed(1)} ms`);
	console.log(`filter of ${MANY}: median ${middle}, worst ${worst}, ${times.length} keys`);
	assert.ok(median < AT_ONCE, `median ${median} ms of ${sorted.map(Math.round)}`);
});

check('the document stays small and the last row can be reached', async (stage) => {
	await crowded(stage);
	const rows = bodyRows(stage);
	assert.ok((await rows.count()) < 200, `${await rows.count()} rows`);
	const table = stage.page.getByRole('main').getByRole('table');
	assert.ok(Number(await table.getAttribute('aria-rowcount')) >= MANY);
	await stage.link(name(0)).scrollIntoViewIfNeeded();
	await stage.page.evaluate(() => {
		// Scroll whichever scrolls: the page or an element in it.
		for (const one of [document.scrollingElement, ...document.querySelectorAll('main, main *')]) {
			if (one.scrollHeight > one.clientHeight) one.scrollTop = one.scrollHeight;
		}
	});
	const last = stage.link(name(MANY - 1));
	await last.waitFor();
	assert.ok((await rows.count()) < 200, `${await rows.count()} rows`);
	const index = await last.evaluate((link) => Number(link.closest('[role=row], tr').getAttribute('aria-rowindex')));
	assert.equal(index, Number(await table.getAttribute('aria-rowcount')));
	await last.click();
	await stage.dialog(name(MANY - 1)).waitFor();
	await stage.page.keyboard.press('Escape');
	await stage.gone(stage.dialog(name(MANY - 1)));
	await last.waitFor();
});

check('move through the rows with the keyboard', async (stage) => {
	await crowded(stage);
	await stage.link(name(0)).focus();
	const reached = () =>
		stage.page.evaluate(() => {
			const rows = [...document.querySelectorAll('main [aria-rowindex]')];
			const seen = rows.filter((row) => {
				const { top, bottom } = row.getBoundingClientRect();
				return bottom > 0 && top < innerHeight;
			});
			return Math.max(0, ...seen.map((row) => Number(row.getAttribute('aria-rowindex'))));
		});
	let before = await reached();
	for (let pages = 0; pages < 4; pages += 1) {
		await stage.page.keyboard.press('PageDown');
		const now = before;
		await eventually('focus moved down', async () => (await reached()) > now);
		before = await reached();
	}
	await stage.page.keyboard.press('End');
	await stage.link(name(MANY - 1)).waitFor();
	await stage.page.keyboard.press('Home');
	await stage.link(name(0)).waitFor();
	// Go row by row, past the rows that were rendered at first.
	await stage.link(name(0)).focus();
	for (let rows = 0; rows < 120; rows += 1) await stage.page.keyboard.press('Tab');
	const key = await stage.page.evaluate(() => document.activeElement.textContent);
	assert.match(key, /^SERVICE_0(119|12\d|1[01]\d|0\d\d)/);
	assert.ok(Number(key.slice(8, 12)) >= 60, `after 120 stops the focus is on ${key}`);
});

check('sort', async (stage) => {
	await crowded(stage);
	const header = stage.page.getByRole('columnheader', { name: 'Key' });
	await header.getByRole('button').click();
	await stage.link(name(MANY - 1)).waitFor();
	assert.equal(await header.getAttribute('aria-sort'), 'descending');
	await filter(stage).fill('_0001_');
	await stage.link(name(1)).waitFor();
	assert.equal(await bodyRows(stage).getByRole('link').count(), 1);
});

check('the URL of a row far down opens it', async (stage) => {
	await stage.page.goto(`/secrets/crowded/${name(3333)}`);
	await stage.dialog(name(3333)).waitFor();
});
