// One test's browser: a context that knows nobody, a page in it, somebody who is
// logged in, and the few things that every test does with a page.

import assert from 'node:assert/strict';
import { eventually, PATIENCE } from './eventually.mjs';
import { overlay } from './overlay.mjs';
import { ADMIN } from './server.mjs';
import { Watch } from './watch.mjs';

export const WIDE = { width: 1280, height: 800 };
export const NARROW = { width: 360, height: 740 };

export class Stage {
  /**
   * `as`: 'admin', 'operator', 'viewer', a user of the server's, or null for nobody.
   * `allow`: statuses that the test is about. `fresh`: a session of its own.
   */
  static async open(browser, coffer, options = {}) {
    const { as = 'admin', allow = [], viewport = WIDE, colorScheme = 'light', fresh } = options;
    const stage = new Stage();
    Object.assign(stage, { browser, coffer, api: coffer.api, url: coffer.url });
    stage.context = await browser.newContext({
      viewport, colorScheme, baseURL: coffer.url, reducedMotion: 'reduce', locale: 'en-GB',
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

  /** Goes there and waits for the view's heading. */
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

  /** On the page, behind whatever dialog. */
  button(name, within = this.page) {
    return within.getByRole('button', { name, exact: true });
  }

  link(name, within = this.page) {
    return within.getByRole('link', { name, exact: true });
  }

  /** A field: labels may say "(optional)" or hold a hint, so not the whole of it. */
  field(name, within = this.page) {
    return within.getByRole('textbox', { name, exact: true });
  }

  checkbox(name, within = this.page) {
    return within.getByRole('checkbox', { name });
  }

  select(name, within = this.page) {
    return within.getByRole('combobox', { name, exact: true });
  }

  /** Chooses the option whose text is so. */
  async choose(select, pattern) {
    const value = await eventually(`an option ${pattern}`, () => select.evaluate((element, [source, flags]) => {
      const option = [...element.options].find((one) => new RegExp(source, flags).test(one.text));
      return option?.value ?? null;
    }, [pattern.source, pattern.flags]));
    await select.selectOption(value);
  }

  /** The row of the table whose link or first cell is this. */
  row(name, within = this.page) {
    return within.getByRole('row').filter({ has: this.page.getByText(name, { exact: true }) });
  }

  /** Opens a dialog by its button and waits for it. */
  async press(name, dialog, within = this.page) {
    await this.button(name, within).click();
    const opened = this.dialog(dialog);
    await opened.waitFor();
    return opened;
  }

  /** A secret's, a var's or a user's dialog by its link in the table. */
  async follow(name) {
    await this.link(name).click();
    const opened = this.dialog(name);
    await opened.waitFor();
    return opened;
  }

  /** Not there, or not seen, any more. */
  async gone(locator) {
    await locator.waitFor({ state: 'hidden' });
    // A dialog that is closed hears of it a task later, and gives the focus back then.
    await eventually('closed dialogs are away', async () =>
      await this.page.locator('dialog:not([open])').count() === 0);
  }

  /** That the polite status region says this. */
  async toast(words) {
    await this.page.locator('#toasts').filter({ hasText: words }).waitFor();
  }

  /** That an alert says all of this. */
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

  /** That the field is marked bad, described by these words, and has the focus. */
  async refused(field, words) {
    await eventually(`the field is refused: ${words}`, async () => {
      assert.equal(await field.getAttribute('aria-invalid'), 'true');
      const text = await field.evaluate((element) => (element.getAttribute('aria-describedby') ?? '')
        .split(/\s+/).map((id) => document.getElementById(id)?.innerText ?? '').join('\n'));
      assert.match(text, words);
      assert.ok(await field.evaluate((element) => element === document.activeElement), 'no focus');
      return true;
    });
  }

  async path() {
    const url = new URL(this.page.url());
    return url.pathname + url.search;
  }

  /** Waits until the address is this. */
  async arrive(path) {
    await eventually(`the address is ${path}`, async () => {
      const now = await this.path();
      assert.equal(now, path);
      return true;
    });
  }

  async close() {
    // A request that the page has just begun is nobody's business any more.
    await this.context.unrouteAll({ behavior: 'ignoreErrors' });
    await this.context.close();
  }
}
