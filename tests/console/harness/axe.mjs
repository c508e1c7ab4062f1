// Runs axe-core in the page: accessibility problems that a program can detect.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { PLACE } from '../harness.mjs';

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
let source;

/** Checks `root`, a selector, with all rules or only with `rules`. */
export async function assertAccessible(page, root = 'body', rules = null) {
	source ??= readFileSync(`${PLACE}/node_modules/axe-core/axe.min.js`, 'utf8');
	// The debugger is not subject to the content security policy.
	if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(source);
	const { passed, violations } = await page.evaluate(
		async ([selector, runOnly]) => {
			const scope = selector === 'body' ? document : selector;
			const found = await globalThis.axe.run(scope, { runOnly });
			const violated = found.violations.map(({ id, help, nodes }) => ({
				id,
				help,
				nodes: nodes.slice(0, 4).map((node) => `${node.html.slice(0, 160)} — ${node.failureSummary}`),
			}));
			return { passed: found.passes.length, violations: violated };
		},
		[root, rules ? { type: 'rule', values: rules } : { type: 'tag', values: TAGS }],
	);
	assert.deepEqual(violations, []);
	assert.ok(passed > 0, 'no rule ran');
}
