// The watch over every test detects each violation.

import assert from 'node:assert/strict';
import { eventually, suite } from './harness.mjs';

const check = suite();

const VIOLATIONS = {
	'an inline style': [
		/CSP violation: style-src/,
		() => {
			const style = document.createElement('style');
			style.textContent = 'body { color: red }';
			document.head.append(style);
		},
	],
	'an inline script': [
		/CSP violation: (script-src|require-trusted-types-for|trusted-types)/,
		() => {
			const script = document.createElement('script');
			try {
				script.textContent = 'globalThis.run = true';
				document.head.append(script);
			} catch {
				// Trusted Types block it before it is in the document.
			}
		},
	],
	'text parsed as HTML': [
		/CSP violation: require-trusted-types-for/,
		() => {
			try {
				document.body.insertAdjacentHTML('beforeend', '<b>bold</b>');
			} catch {
				// The policy has reported it.
			}
		},
	],
	'a request to another origin': [
		/CSP violation: connect-src|another origin/,
		() => {
			fetch('http://127.0.0.1:9/').catch(() => {});
		},
	],
	'an image from another origin': [
		/CSP violation: img-src|another origin/,
		() => {
			document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.1:9/x.png', alt: '' }));
		},
	],
	'a warning': [/console warning: careful/, () => console.warn('careful')],
	'an error': [/console error: broken/, () => console.error('broken')],
	'an exception': [
		/uncaught: .*thrown/,
		() => {
			setTimeout(() => {
				throw new Error('thrown');
			});
		},
	],
	'an unhandled rejection': [
		/uncaught: .*rejected/,
		() => {
			Promise.reject(new Error('rejected'));
		},
	],
	'an unexpected error response': [
		/GET \/api\/no-such-thing: 404/,
		() => {
			fetch('/api/no-such-thing');
		},
	],
};

for (const [name, [finding, violate]] of Object.entries(VIOLATIONS)) {
	check(`detects ${name}`, async (stage) => {
		await stage.open('/environments', 'Environments');
		await stage.watch.settle();
		stage.watch.assertClean();
		await stage.page.evaluate(violate);
		await eventually('the watch reports it', () => stage.watch.findings().some((one) => finding.test(one)));
		stage.watch.forgive();
	});
}

check('an inline script does not run', async (stage) => {
	await stage.open('/environments', 'Environments');
	await stage.page.evaluate(VIOLATIONS['an inline script'][1]);
	assert.equal(await stage.page.evaluate(() => globalThis.run), undefined);
	await eventually('the watch reports it', () => stage.watch.findings().length > 0);
	stage.watch.forgive();
});
