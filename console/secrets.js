// Secrets: the main page.
//
// Must never: keep a value that was revealed for longer than it is shown, or show
// it where nobody has asked for it.

import { api, at, can, environment, get, session } from './api.js';
import { offerImport, sealBox, valueField } from './entry.js';
import { about, openList, usedBy } from './list.js';
import {
	actions,
	alertBox,
	badge,
	busy,
	button,
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
	const hint = 'Capital letters, digits and _, such as DATABASE_URL.';
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
			return `${secret.key} is stored${secret.neverReveal ? ', write-only' : ''}.`;
		},
	);
}

function replace(row, context) {
	const value = valueField();
	formDialog(
		`Replace the value of ${row.key}`,
		[p(`It becomes version ${row.version + 1}. What uses it gets it at once.`), value.nodes],
		'Replace value',
		async () => {
			const { version } = await context.change(
				'PATCH',
				at`/api/secrets/${row.id}?version=${row.version}`,
				value.read(),
			);
			return `${row.key} has a new value, version ${version}.`;
		},
	);
}

function describe(row, context) {
	const text = prose('description', row.description);
	formDialog(`Edit the description of ${row.key}`, field('Description', text), 'Save description', async () => {
		await context.change('PATCH', at`/api/secrets/${row.id}`, { description: text.value || null });
		return 'The description is saved.';
	});
}

function latch(row, context) {
	const what = `From then on nobody can see the value of ${row.key}, nor any of its versions: not you, not another admin. Programs go on getting it. `;
	formDialog(
		`Make ${row.key} write-only`,
		p(what, h('strong', null, 'This is for good.')),
		'Make it write-only for good',
		async () => {
			await context.change('PATCH', at`/api/secrets/${row.id}`, { neverReveal: true });
			return `${row.key} is write-only now.`;
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
		['fail', 'Stop'],
		['replace', 'Replace its value'],
	]);
	const what =
		'The server copies the value; nobody sees it on the way. What is write-only stays so, and makes what it replaces write-only, for good.';
	formDialog(
		`Copy ${row.key}`,
		[p(what), field('To environment', target), field('When the key exists', conflict)],
		'Copy secret',
		async () => {
			await api('POST', at`/api/environments/${target.value}/secrets/copy`, {
				from: context.env.id,
				keys: [row.key],
				onConflict: conflict.value,
			});
			return `${row.key} is copied to ${target.value}.`;
		},
	);
}

export function remove(row, context) {
	const what = [p(`The ${context.one} goes for good, with all its versions. It is used by:`), p(usedBy(row))];
	confirmDelete(
		context.one,
		row.key,
		what,
		() => at`/api/${context.kind}/${row.id}`,
		() => context.drop(row),
	);
}

// A value, for as long as somebody may look at it.
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
		left.textContent = `Hidden again in ${seconds} s`;
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
	const [notes, value, versions] = [alertBox(), div(), div(muted('Loading…'))];
	let stop;
	const show = button(
		'Reveal value',
		() =>
			busy(show, notes, async () => {
				const answer = await get(at`/api/secrets/${row.id}/value`);
				// Whoever has closed the dialog does not want to see it.
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
						h('strong', null, 'Nobody can see this value again'),
						`, in any role. Programs that the host declares get it all the same. If it is lost, ${mayWrite ? '' : 'ask an operator to '}replace it; if a new one does not work, activate an earlier version.`,
					)
				: !mayReveal && muted('Admins may reveal this value.'),
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
		if (active) return badge('good', 'In force');
		const control =
			mayWrite &&
			button(
				`Activate version ${version}`,
				() =>
					busy(control, notes, async () => {
						const secret = await context.change(
							'POST',
							at`/api/secrets/${row.id}/versions/${version}/activate`,
							{},
						);
						toast(`Version ${version} is in force again, as version ${secret.version}.`);
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
					['When', 'createdAt'],
					['Who', 'createdBy'],
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
	// The settings are for admins; for others the server decides.
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
			empty: 'Add the first one, or import a .env file. Keys are names such as DATABASE_URL.',
		},
		rest,
	);
}
