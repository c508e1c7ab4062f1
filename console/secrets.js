// The page for secrets, and everything that can be done with one.
//
// Must never: keep a revealed value longer than it is shown, or show a value that the user
// did not ask for.

import { api, at, can, environment, get, session } from './api.js';
import { offerImport, sealBox, valueField } from './entry.js';
import { about, openList, usedBy } from './list.js';
import {
	actions,
	alertBox,
	badge,
	busy,
	button,
	code,
	confirmDelete,
	copyButton,
	div,
	field,
	formDialog,
	h,
	input,
	muted,
	p,
	prose,
	section,
	select,
	table,
	toast,
} from './ui.js';

const SHOWN_SECONDS = 30;
const state = ({ neverReveal }) => (neverReveal ? badge('sealed', 'Write-only') : badge('open', 'Revealable'));

export const keyInput = () => input('key', { class: 'mono' });

function add(context) {
	const [key, value, text] = [keyInput(), valueField(), prose('description')];
	const seal = sealBox(context.settings);
	const offer = offerImport([key, value.area], (lines) => {
		made.close();
		context.openImport(lines);
	});
	const hint = 'For example DATABASE_URL.';
	const made = formDialog(
		'Add a secret',
		[field('Key', key, hint), offer, value.nodes, field('Description (optional)', text), seal],
		'Add secret',
		async () => {
			const body = {
				key: key.value.trim(),
				...value.read(),
				description: text.value || null,
				neverReveal: seal.box.checked || (context.settings && false),
			};
			const secret = await context.change('POST', at`/api/environments/${context.env.id}/secrets`, body);
			return `Saved ${secret.key}${secret.neverReveal ? ' as write-only' : ''}.`;
		},
	);
}

function replace(row, context) {
	const value = valueField();
	const notice = [
		`Saving creates version ${row.version + 1}. Files and `,
		code('--watch'),
		' programs update immediately; others on their next start.',
	];
	formDialog(`Replace the value of ${row.key}`, [p(notice), value.nodes], 'Replace value', async () => {
		const { version } = await context.change(
			'PATCH',
			at`/api/secrets/${row.id}?version=${row.version}`,
			value.read(),
		);
		return `Saved ${row.key} as version ${version}.`;
	});
}

function describe(row, context) {
	const text = prose('description', row.description);
	formDialog(`Edit the description of ${row.key}`, field('Description', text), 'Save description', async () => {
		await context.change('PATCH', at`/api/secrets/${row.id}`, { description: text.value || null });
		return `Saved the description of ${row.key}.`;
	});
}

function latch(row, context) {
	const what =
		'Nobody, including admins, will be able to view any version of this value. Programs still receive it. ';
	formDialog(
		`Make ${row.key} write-only`,
		p(what, h('strong', null, 'This cannot be undone.')),
		'Make write-only',
		async () => {
			await context.change('PATCH', at`/api/secrets/${row.id}`, { neverReveal: true });
			return `${row.key} is now write-only.`;
		},
		{ danger: true },
	);
}

function copy(row, context) {
	const others = session.environments.filter((one) => one.id !== context.env.id);
	const target = select(
		'environment',
		others.map((one) => one.name),
		undefined,
		{ required: true },
	);
	const conflict = select('onConflict', [
		['fail', 'Do not copy'],
		['replace', 'Replace its value'],
	]);
	const what =
		'The server copies the value without showing it. A write-only secret stays write-only in the copy, ' +
		'even where it replaces a revealable one.';
	formDialog(
		`Copy ${row.key}`,
		[p(what), field('To environment', target), field('If the key already exists', conflict)],
		'Copy secret',
		async () => {
			await api('POST', at`/api/environments/${target.value}/secrets/copy`, {
				from: context.env.id,
				keys: [row.key],
				onConflict: conflict.value,
			});
			return `Copied ${row.key} to ${target.value}.`;
		},
	);
}

export function remove(row, context) {
	const what = [p(`This permanently deletes the ${context.noun} and all its versions. Used by:`), p(usedBy(row))];
	confirmDelete(
		context.noun,
		row.key,
		what,
		() => at`/api/${context.kind}/${row.id}`,
		() => context.drop(row),
	);
}

// Shows a value, and removes it from the page after SHOWN_SECONDS or when the page is left.
function revealed(value, gone) {
	const text = h('pre.box', { tabindex: '0' }, value);
	const left = muted();
	const until = Date.now() + SHOWN_SECONDS * 1000;
	const hide = () => {
		clearInterval(timer);
		document.removeEventListener('visibilitychange', hide);
		removeEventListener('pagehide', hide);
		const had = element.contains(document.activeElement);
		text.textContent = '';
		element.remove();
		gone(had);
	};
	const tick = () => {
		const seconds = Math.ceil((until - Date.now()) / 1000);
		left.textContent = `Hides in ${seconds} s`;
		if (seconds <= 0) hide();
	};
	const timer = setInterval(tick, 250);
	const element = h(
		'section.reveal',
		{ 'aria-label': 'Value' },
		text,
		actions(
			copyButton('Copy value', () => text.textContent),
			button('Hide value', hide),
			left,
		),
	);
	document.addEventListener('visibilitychange', hide);
	addEventListener('pagehide', hide);
	tick();
	return { element, text, hide };
}

function detail(row, context) {
	const [mayWrite, mayReveal] = [can('secrets:write'), can('secrets:reveal')];
	const who = mayWrite ? 'You' : 'Operators';
	const [notes, value, versions] = [alertBox(), div(), div(muted('Loading…'))];
	let stop;
	const show = button(
		'Reveal value',
		() =>
			busy(show, notes, async () => {
				const answer = await get(at`/api/secrets/${row.id}/value`);
				// The user has closed the dialog or left the tab meanwhile.
				if (!value.isConnected || document.hidden) return;
				const shown = revealed(answer.value, (had) => {
					show.hidden = false;
					if (had) show.focus();
				});
				stop = shown.hide;
				show.hidden = true;
				value.replaceChildren(shown.element);
				shown.text.focus();
			}),
		{ class: 'primary' },
	);
	const act = (label, what, kind) => button(label, () => what(row, context), { class: kind });
	loadVersions(row, context, versions, mayWrite);
	return {
		stop: () => stop?.(),
		nodes: [
			p(state(row)),
			row.neverReveal
				? h(
						'div.note',
						null,
						h('strong', null, 'Nobody can view this value.'),
						` Workloads still receive it. ${who} can replace it or restore an earlier version.`,
					)
				: !mayReveal && muted('Only admins can view this value.'),
			notes.box,
			value,
			actions(
				mayReveal && !row.neverReveal && show,
				mayWrite && [
					act('Replace value', replace, row.neverReveal && 'primary'),
					act('Edit description', describe),
					!row.neverReveal && act('Make write-only', latch),
				],
				mayReveal && act('Copy to another environment', copy),
				mayWrite && act('Delete secret', remove, 'danger'),
			),
			about(row),
			section('Versions', versions),
		],
	};
}

async function loadVersions(row, context, place, mayWrite) {
	const notes = alertBox();
	const activate = ({ version, active }) => {
		if (active) return badge('good', 'Current');
		const control =
			mayWrite &&
			button(
				`Restore version ${version}`,
				() =>
					busy(control, notes, async () => {
						const secret = await context.change(
							'POST',
							at`/api/secrets/${row.id}/versions/${version}/activate`,
							{},
						);
						toast(`Restored version ${version} as version ${secret.version}.`);
					}),
				{ class: 'small' },
			);
		return control;
	};
	try {
		const { versions } = await get(at`/api/secrets/${row.id}/versions`);
		place.replaceChildren(
			notes.box,
			table(
				'Versions',
				[
					['Version', 'version'],
					['Created', 'createdAt'],
					['Created by', 'createdBy'],
					['', activate],
				],
				versions,
			),
		);
	} catch (error) {
		notes.show(error);
		place.replaceChildren(notes.box);
	}
}

export async function open(rest) {
	// Only admins can read the settings; for others the server applies them.
	const asked =
		can('environments:write') && get(at`/api/environments/${environment(rest[0]).id}/settings/configuration`);
	return openList(
		{
			kind: 'secrets',
			title: 'Secrets',
			columns: [
				{ title: 'Description', cell: (row) => row.description },
				{ title: 'State', cell: state, sort: (row) => !row.neverReveal },
			],
			words: (row) => (row.neverReveal ? 'write-only' : 'revealable'),
			settings: (await asked).settings,
			detail,
			add,
			empty: 'Add one, or import a .env file.',
		},
		rest,
	);
}
