// Typing a value in, and importing a whole `.env` file.
//
// Must never: show a value that nobody asked to see; leave one in a field that is
// not being filled in any more.

import { api, at } from './api.js';
import { envLines, plural } from './format.js';
import { actions, alertBox, badge, button, check, code, dialog, field, form, h, input, p, select, table } from './ui.js';

const ALPHABETS = [['alphanumeric', 'Letters and digits'], ['hex', 'Hexadecimal'], ['base64url', 'Base64, for URLs'], ['ascii', 'All of a keyboard']];

export const WRITE_ONLY = 'Nobody can ever see the value again, admins included. This cannot be undone.';

// A text area whose text is dots until it is shown.
function masked(name, what, props) {
	const area = h('textarea', { name, rows: 2, class: 'masked mono', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', 'data-1p-ignore': true, 'data-lpignore': true, ...props });
	const toggle = button(`Show ${what}`, () => {
		toggle.textContent = `${area.classList.toggle('masked') ? 'Show' : 'Hide'} ${what}`;
	});
	return [area, toggle];
}

// A value, typed or made by the server. `read()` is what the API wants to have.
export function valueField() {
	const [area, beside] = masked('value', 'value');
	const typed = field('Value', area, { beside });
	const length = input('generate.length', { type: 'number', min: 1, max: 4096, value: '32' });
	const alphabet = select('generate.alphabet', ALPHABETS);
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
		read: () => (generate.box.checked ? { generate: { length: Number(length.value), alphabet: alphabet.value } } : { value: area.value }),
	};
}

// Offers to import when several lines of a `.env` file are put into one of these fields.
export function offerImport(controls, open) {
	const place = h('div.offer', { role: 'status' });
	const onpaste = (event) => {
		const text = event.clipboardData.getData('text');
		const lines = envLines(text);
		place.replaceChildren();
		if (!lines) return;
		// Into a field of one line, all of them would go as one.
		if (event.target.tagName === 'INPUT') event.preventDefault();
		place.append(`These look like ${lines} lines of a .env file. `, button(`Import all ${lines}`, () => open(text)));
	};
	for (const control of controls) control.addEventListener('paste', onpaste);
	return place;
}

const OUTCOMES = { created: ['good', 'New'], replaced: ['warn', 'Replaces the value'], skipped: ['off', 'Exists, is skipped'], conflict: ['bad', 'Exists already'] };
const DONE = { created: ['good', 'Created'], replaced: ['good', 'Replaced'], skipped: ['off', 'Skipped'] };

// The dialog that imports secrets or vars. The server reads the lines, and says what would come of them.
export function importDialog({ env, kind, one, settings }, text, done) {
	const path = at`/api/environments/${env.id}/` + `${kind}/import`;
	dialog('Import a .env file', (close) => {
		const [area, beside] = masked('dotenv', 'values', { required: true, rows: 5, value: text, oninput: () => soon() });
		const file = h('input', { type: 'file', 'aria-label': 'Choose a file' });
		const conflict = select('onConflict', [['skip', 'Skip it'], ['replace', 'Replace its value'], ['fail', 'Import nothing']], 'skip', { onchange: () => look() });
		const seal = kind === 'secrets' && check('neverReveal', 'Write-only', { checked: settings?.neverRevealByDefault }, WRITE_ONLY);
		const preview = h('div');
		const notes = alertBox();
		let [turn, timer] = [0];
		const send = async (dryRun) => {
			const body = { dotenv: area.value, onConflict: conflict.value, dryRun };
			if (seal.box?.checked) body.neverReveal = true;
			return (await api('POST', path, body)).import;
		};
		const outcomes = ({ results }, words) => table('What becomes of each key', [['Key', (row) => code(row.key)], ['Outcome', (row) => badge(...words[row.outcome])]], results, '');

		async function look() {
			const mine = (turn += 1);
			clearTimeout(timer);
			let [report, problem] = [null];
			if (area.value.trim()) report = await send(true).catch((error) => void (problem = error));
			if (mine !== turn) return;
			notes.clear();
			if (problem?.field === 'dotenv') Object.assign(problem, { details: [], message: problem.message.replace('dotenv', 'This') });
			if (problem) notes.show(problem);
			preview.replaceChildren(report ? outcomes(report, OUTCOMES) : '');
			made.send.textContent = report ? `Import ${plural(report.results.length, one)}` : 'Import';
		}
		const soon = () => {
			clearTimeout(timer);
			timer = setTimeout(look, 250);
		};
		const made = form([field('Lines of a .env file', area, { beside, hint: 'KEY=value, one a line; values with blanks or # in quotes.' }), file, field('When a key exists', conflict), seal, notes.box, preview], {
			label: 'Import',
			cancel: close,
			async submit() {
				clearTimeout(timer);
				turn += 1;
				const report = await send(false);
				area.value = '';
				const ready = button('Done', close, { class: 'primary' });
				made.replaceWith(p(`${plural(report.created + report.replaced, one)} imported, ${report.skipped} skipped.`), outcomes(report, DONE), actions(ready));
				ready.focus();
				await done();
			},
		});
		file.addEventListener('change', async () => {
			area.value = (await file.files[0]?.text()) ?? '';
			file.value = '';
			look();
		});
		if (text) look();
		return made;
	}, { wide: true });
}
