// Typing a value in, and importing a whole `.env` file.
//
// Must never: show a value that nobody asked to see; leave one in a field that is
// not being filled in any more.

import { ApiError, api, at } from './api.js';
import { envLines, plural } from './format.js';
import {
	actions,
	alertBox,
	badge,
	button,
	check,
	code,
	dialog,
	field,
	form,
	h,
	input,
	p,
	say,
	select,
	table,
} from './ui.js';

// Unticked, it is said only by those who could see what the environment's settings say.
export const sealBox = (settings, props) =>
	check(
		'neverReveal',
		'Write-only',
		{ checked: settings?.neverRevealByDefault, ...props },
		`Nobody can ever see the value again, admins included. This cannot be undone.${settings ? '' : ' Unticked, the settings of the environment decide.'}`,
	);

// A text area whose text is dots until it is shown.
function masked(name, what, props) {
	const area = h('textarea', {
		name,
		rows: 2,
		class: 'masked mono',
		autocomplete: 'off',
		autocapitalize: 'none',
		spellcheck: 'false',
		...props,
	});
	const toggle = button(`Show ${what}`, () => {
		toggle.textContent = `${area.classList.toggle('masked') ? 'Show' : 'Hide'} ${what}`;
	});
	return [area, toggle];
}

// A value, typed or made by the server. `read()` is what the API wants to have.
export function valueField() {
	const [area, beside] = masked('value', 'value');
	const typed = field('Value', area, null, beside);
	const length = input('generate.length', { type: 'number', min: 1, max: 4096, value: '32' });
	const alphabet = select('generate.alphabet', ['alphanumeric', 'hex', 'base64url', 'ascii']);
	const made = h('div.pair', { hidden: true }, field('Length', length), field('Alphabet', alphabet));
	const onchange = () => {
		made.hidden = !generate.box.checked;
		typed.hidden = generate.box.checked;
		area.value = '';
	};
	const generate = check('generate', 'Generate it in the server', { onchange }, 'Then not even you see it.');
	return {
		area,
		nodes: [typed, generate, made],
		read: () =>
			generate.box.checked
				? { generate: { length: Number(length.value), alphabet: alphabet.value } }
				: { value: area.value },
	};
}

// Offers to import when several lines of a `.env` file are put into one of these fields.
export function offerImport(controls, open) {
	const place = h('div.offer', { role: 'status' });
	const onpaste = (event) => {
		const text = event.clipboardData.getData('text');
		const single = event.target.tagName === 'INPUT';
		const lines = envLines(text, single ? 1 : 2);
		place.replaceChildren();
		if (!lines) return;
		// There they would be seen, and go as one.
		if (single) event.preventDefault();
		place.append(
			`${lines > 1 ? `These look like ${lines} lines` : 'This looks like a line'} of a .env file. `,
			button(`Import all ${lines}`, () => open(text)),
		);
	};
	for (const control of controls) control.addEventListener('paste', onpaste);
	return place;
}

const OUTCOMES = {
	created: ['good', 'New'],
	replaced: ['warn', 'New value'],
	skipped: ['off', 'Left as it is'],
	conflict: ['bad', 'Exists already'],
};

// The dialog that imports secrets or vars. The server reads the lines, and says what would come of them.
export function importDialog({ env, kind, one, settings }, text, done) {
	const path = at`/api/environments/${env.id}/` + `${kind}/import`;
	dialog(
		'Import a .env file',
		(close, leave) => {
			const [area, beside] = masked('dotenv', 'values', {
				required: true,
				rows: 5,
				value: text,
				oninput: () => soon(),
			});
			const file = h('input', { type: 'file', 'aria-label': 'Choose a file' });
			const conflict = select(
				'onConflict',
				[
					['skip', 'Skip it'],
					['replace', 'Replace its value'],
					['fail', 'Import nothing'],
				],
				'skip',
				{ onchange: () => look() },
			);
			// What replaces a write-only value cannot be made revealable, so the default stands.
			const seal = kind === 'secrets' && sealBox(settings, { disabled: settings?.neverRevealByDefault });
			const preview = h('div');
			const notes = alertBox();
			let [turn, timer] = [0];
			const send = async (dryRun) => {
				const body = { dotenv: area.value, onConflict: conflict.value, dryRun };
				if (seal.box?.checked && !seal.box.disabled) body.neverReveal = true;
				return (await api('POST', path, body)).import;
			};
			const outcomes = ({ results }) =>
				table(
					'What becomes of each key',
					[
						['Key', (row) => code(row.key)],
						['Outcome', (row) => badge(...OUTCOMES[row.outcome])],
					],
					results,
				);

			async function look() {
				turn += 1;
				const mine = turn;
				clearTimeout(timer);
				let report = null;
				let problem;
				try {
					if (area.value.trim()) report = await send(true);
				} catch (error) {
					problem = error;
				}
				if (mine !== turn) return;
				notes.clear();
				if (problem?.field === 'dotenv')
					Object.assign(problem, { details: [], message: problem.message.replace('dotenv', 'This') });
				if (problem) notes.show(problem);
				preview.replaceChildren(report ? outcomes(report) : '');
				made.send.textContent = report ? `Import ${plural(report.results.length, one)}` : 'Import';
			}
			const soon = () => {
				clearTimeout(timer);
				timer = setTimeout(look, 250);
			};
			const made = form(
				[
					field(
						'Lines of a .env file',
						area,
						'KEY=value, one a line; values with blanks or # in quotes.',
						beside,
					),
					file,
					field('When a key exists', conflict),
					seal,
					notes.box,
					preview,
				],
				'Import',
				async () => {
					clearTimeout(timer);
					turn += 1;
					const report = await send(false);
					area.value = '';
					const ready = button('Done', close, { class: 'primary' });
					made.replaceWith(
						p(`${plural(report.created + report.replaced, one)} imported, ${report.skipped} skipped.`),
						outcomes(report),
						actions(ready),
					);
					ready.focus();
					await done().catch(say);
				},
				{ cancel: leave },
			);
			file.addEventListener('change', async () => {
				const bytes = await file.files[0]?.arrayBuffer();
				file.value = '';
				try {
					// Letters that are lost without a word would be lost for good.
					area.value = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
					look();
				} catch {
					notes.show(new ApiError(400, { message: 'This file is not UTF-8 text.' }));
				}
			});
			if (text) look();
			return made;
		},
		{ wide: true },
	);
}
