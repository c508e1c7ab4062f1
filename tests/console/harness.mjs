// What the console tests share: per file, a server with its own directory and a headless
// Chromium; per test, a page that is watched from its first request to its last. A test file
// calls `suite(settings)` and gets `check(name, body)`.
//
// The tests find elements by role and accessible name, as users do with or without a
// screen reader. tests/console/browser.rs runs them.

import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { Coffer } from './harness/server.mjs';
import { Stage } from './harness/stage.mjs';

export { eventually } from './harness/eventually.mjs';

/** The directory for packages and screenshots. */
export const PLACE = process.env.COFFER_BROWSER_DIR ?? 'target/browser';

const require = createRequire(`${PLACE.startsWith('/') ? '' : `${process.cwd()}/`}${PLACE}/x`);
const { chromium } = require('playwright-core');

/** Chromium sends no requests of its own. */
const FLAGS = [
	'--no-sandbox',
	'--disable-gpu',
	'--disable-quic',
	'--no-first-run',
	'--disable-background-networking',
	'--disable-component-update',
	'--disable-sync',
];

/** More than any test needs, even on a busy machine. */
const DEADLINE = 120_000;

/**
 * Starts a server and a browser for a test file. `settings` are those of `Coffer.start`;
 * `prepare(coffer)` runs once. Returns `check(name, options?, async stage => …)`, whose
 * options are those of `Stage.open`.
 */
export function suite(settings = {}) {
	const shared = {};
	before(
		async () => {
			// First, so that no server is left running if it fails.
			shared.browser = await chromium.launch({
				executablePath: process.env.COFFER_CHROMIUM ?? '/usr/bin/chromium',
				args: FLAGS,
			});
			shared.coffer = await Coffer.start(settings);
			await settings.prepare?.(shared.coffer);
		},
		{ timeout: DEADLINE },
	);
	after(
		async () => {
			await shared.browser?.close();
			await shared.coffer?.stop();
		},
		{ timeout: DEADLINE },
	);
	return (name, ...rest) => {
		const body = rest.pop();
		const [options = {}] = rest;
		test(name, { timeout: DEADLINE }, async () => {
			const stage = await Stage.open(shared.browser, shared.coffer, options);
			try {
				await body(stage);
				await stage.watch.settle();
				stage.watch.assertClean();
			} catch (error) {
				await describe(stage, name, error);
				throw error;
			} finally {
				await stage.close();
			}
		});
	};
}

/** Adds the page's errors and a screenshot to the error. */
async function describe(stage, name, error) {
	const findings = stage.watch.findings();
	// Node's reporter prints the stack.
	if (findings.length) error.stack += `\nThe page reported:\n  ${findings.join('\n  ')}`;
	const directory = `${PLACE}/failures`;
	mkdirSync(directory, { recursive: true });
	const path = `${directory}/${name.replace(/\W+/g, '-').slice(0, 80)}.png`;
	try {
		await stage.page.screenshot({ path, caret: 'initial', timeout: 5000 });
		error.stack += `\nScreenshot: ${path}`;
	} catch {
		// The page may be closed already; the error says enough.
	}
}
