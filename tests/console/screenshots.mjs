// Takes screenshots of every view and dialog for review, in light and dark mode and at
// three widths: target/browser/screenshots.

import { mkdirSync } from 'node:fs';
import { SEEDED } from './harness/seed.mjs';
import { MEDIUM, NARROW, WIDE } from './harness/stage.mjs';
import { DIALOGS, show, views } from './harness/views.mjs';
import { PLACE, suite } from './harness.mjs';

const check = suite(SEEDED);
const DIRECTORY = `${PLACE}/screenshots`;
mkdirSync(DIRECTORY, { recursive: true });

async function draw(stage, name) {
	for (const viewport of [WIDE, MEDIUM, NARROW]) {
		await stage.page.setViewportSize(viewport);
		for (const colorScheme of ['light', 'dark']) {
			await stage.page.emulateMedia({ colorScheme });
			// Hiding the caret would add a style, which the content security policy blocks.
			const path = `${DIRECTORY}/${name}-${colorScheme}-${viewport.width}.png`;
			await stage.page.screenshot({ path, caret: 'initial' });
		}
	}
}

for (const { name, as = 'admin', allow } of views()) {
	check(name, { as, allow }, async (stage) => {
		await show(
			stage,
			views().find((one) => one.name === name),
		);
		await draw(stage, name);
	});
}

for (const name of Object.keys(DIALOGS)) {
	check(`dialog ${name}`, { allow: [400] }, async (stage) => {
		const dialog = await DIALOGS[name](stage);
		await dialog.waitFor();
		await draw(stage, `dialog-${name}`);
	});
}
