// What the tests of the console share: a server on a directory of its own, one
// headless Chromium a file, and a page a test that is watched from its first
// request to its last. A test file says what it wants of its server, and gets
// `check(name, body)`.
//
// The tests are written against roles and accessible names: what a person, with or
// without a screen reader, finds on the page. tests/console_browser.rs runs them.

import { after, before, test } from 'node:test';
import { createRequire } from 'node:module';
import { mkdirSync } from 'node:fs';
import { Coffer } from './harness/server.mjs';
import { Stage } from './harness/stage.mjs';

export { eventually } from './harness/eventually.mjs';

/** Where packages, screenshots and pictures of failures are. */
export const PLACE = process.env.COFFER_BROWSER_DIR ?? 'target/browser';

const require = createRequire(`${PLACE.startsWith('/') ? '' : `${process.cwd()}/`}${PLACE}/x`);
const { chromium } = require('playwright-core');

/** Nothing of Chromium's own may talk to anybody. */
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** Longer than any test takes, on a machine that others use too. */
const DEADLINE = 120_000;

/**
 * `settings` go to the server: see `Coffer.start`; `prepare(coffer)` is run once.
 * Gives `check(name, options?, async stage => …)`; the options are `Stage.open`'s.
 */
export function suite(settings = {}) {
  const shared = {};
  before(async () => {
    // Before the server starts, so that there is none to be left behind.
    shared.browser = await chromium.launch({
      executablePath: process.env.COFFER_CHROMIUM ?? '/usr/bin/chromium', args: FLAGS,
    });
    shared.coffer = await Coffer.start(settings);
    await settings.prepare?.(shared.coffer);
  }, { timeout: DEADLINE });
  after(async () => {
    await shared.browser?.close();
    await shared.coffer?.stop();
  }, { timeout: DEADLINE });
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

/** What the page looked like, and what it complained about, beside what went wrong. */
async function describe(stage, name, error) {
  const findings = stage.watch.findings();
  // The stack is what node's reporter prints.
  if (findings.length) error.stack += `\nThe page meanwhile:\n  ${findings.join('\n  ')}`;
  const directory = `${PLACE}/failures`;
  mkdirSync(directory, { recursive: true });
  const path = `${directory}/${name.replace(/\W+/g, '-').slice(0, 80)}.png`;
  try {
    await stage.page.screenshot({ path, caret: 'initial', timeout: 5000 });
    error.stack += `\nA picture: ${path}`;
  } catch {
    // A page that is gone cannot be drawn; the error says enough.
  }
}
