// That the watch over every test would see what it is there for.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

const check = suite();

const CRIMES = {
  'a style of its own': [/CSP violation: style-src/, () => {
    const style = document.createElement('style');
    style.textContent = 'body { color: red }';
    document.head.append(style);
  }],
  'a script in the page': [/CSP violation: (script-src|require-trusted-types-for|trusted-types)/, () => {
    const script = document.createElement('script');
    try {
      script.textContent = 'globalThis.run = true';
      document.head.append(script);
    } catch {
      // Trusted types refuse it before it is in the document.
    }
  }],
  'text that becomes markup': [/CSP violation: require-trusted-types-for/, () => {
    try {
      document.body.insertAdjacentHTML('beforeend', '<b>bold</b>');
    } catch {
      // The policy has reported it.
    }
  }],
  'a request to another origin': [/CSP violation: connect-src|another origin/, () => {
    fetch('http://127.0.0.1:9/').catch(() => {});
  }],
  'a picture from elsewhere': [/CSP violation: img-src|another origin/, () => {
    document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.1:9/x.png', alt: '' }));
  }],
  'a warning': [/console warning: careful/, () => console.warn('careful')],
  'an error': [/console error: broken/, () => console.error('broken')],
  'an exception': [/uncaught: .*thrown/, () => { setTimeout(() => { throw new Error('thrown'); }); }],
  'a rejection that nobody hears': [/uncaught: .*rejected/, () => { Promise.reject(new Error('rejected')); }],
  'an answer that was not expected': [/GET \/api\/no-such-thing: 404/, () => { fetch('/api/no-such-thing'); }],
};

for (const [name, [finding, commit]] of Object.entries(CRIMES)) {
  check(`${name} is seen`, async (stage) => {
    await stage.open('/environments', 'Environments');
    await stage.watch.settle();
    stage.watch.assertClean();
    await stage.page.evaluate(commit);
    await eventually('it is found', () => stage.watch.findings().some((one) => finding.test(one)));
    stage.watch.forgive();
  });
}

check('nothing is run that the server did not send', async (stage) => {
  await stage.open('/environments', 'Environments');
  await stage.page.evaluate(CRIMES['a script in the page'][1]);
  assert.equal(await stage.page.evaluate(() => globalThis.run), undefined);
  await eventually('it is found', () => stage.watch.findings().length > 0);
  stage.watch.forgive();
});
