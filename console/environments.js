// Environments: making, configuring and deleting them.

import { api, at, can, environment, get, isAdmin, loadEnvironments } from './api.js';
import { plural, stamp } from './format.js';
import { navigate } from './router.js';
import {
	adding,
	busy,
	button,
	changed,
	check,
	code,
	confirmDelete,
	emptyState,
	facts,
	field,
	form,
	formDialog,
	h,
	input,
	link,
	p,
	prose,
	say,
	section,
	table,
	toast,
} from './ui.js';

function create() {
	const [name, shown] = [input('name'), prose('displayName')];
	const hint = 'Letters, digits, dots, dashes and _, such as staging. It stays.';
	formDialog(
		'New environment',
		[field('Name', name, hint), field('Display name', shown)],
		'Create environment',
		async () => {
			const made = await api('POST', '/api/environments', {
				name: name.value.trim(),
				displayName: shown.value || null,
			});
			await loadEnvironments().catch(say);
			await navigate(`/environments/${made.environment.name}`);
			return `${made.environment.name} is there.`;
		},
	);
}

function remove(env) {
	const { secrets, vars } = env._count;
	const force =
		secrets > 0 &&
		check('force', `Also delete its ${plural(secrets, 'secret')} and ${plural(vars, 'var')}, for good`);
	const what = secrets
		? 'Their data keys are destroyed: nothing brings the values back but a backup.'
		: `It holds no secrets, and ${plural(vars, 'var')}.`;
	confirmDelete(
		'environment',
		env.name,
		[p(what), force],
		() => at`/api/environments/${env.id}` + (force?.box?.checked ? '?force=true' : ''),
		() => navigate('/environments'),
	);
}

async function openOne(name) {
	const { environment: env } = await get(at`/api/environments/${environment(name)?.id ?? name}`);
	const path = at`/api/environments/${env.id}/settings/configuration`;
	const counts = facts(
		['Secrets', link(`/secrets/${env.name}`, env._count.secrets)],
		['Vars', link(`/vars/${env.name}`, env._count.vars)],
		['Created', stamp(env.createdAt)],
		['Id', code(env.id)],
	);
	const top = [env.displayName && p(env.displayName), counts];
	if (!can('environments:write'))
		return { title: env.name, element: h('div.column', null, top, p('Its settings are for admins.')) };
	const { settings } = await get(path);
	const boxes = [
		check(
			'allowSecretReveal',
			'Admins may reveal revealable secrets',
			{},
			'Switched off, nobody can see any value here, while programs go on getting them.',
		),
		check(
			'neverRevealByDefault',
			'New secrets are write-only unless told otherwise',
			{},
			'Those that are there stay as they are.',
		),
	];
	let last;
	const fill = (now) => {
		last = now;
		for (const { box } of boxes) box.checked = now[box.name];
	};
	fill(settings);
	const restore = button('Restore defaults', () =>
		busy(restore, saved.notes, async () => {
			fill((await api('POST', `${path}/reset`, {})).settings);
			toast('The settings are the defaults again.');
		}),
	);
	const saved = form(
		boxes,
		'Save settings',
		async () => {
			const now = Object.fromEntries(boxes.map(({ box }) => [box.name, box.checked]));
			fill((await api('PATCH', path, changed(now, last))).settings);
			toast('The settings are saved.');
		},
		{ also: restore },
	);
	const gone = section(
		'Delete',
		p('Everything in it goes, for good.'),
		button('Delete environment', () => remove(env), { class: 'danger' }),
	);
	return { title: env.name, element: h('div.column', null, top, section('Settings', saved), gone) };
}

export async function open([name]) {
	if (name) return openOne(name);
	const rows = await loadEnvironments();
	const add = isAdmin() && create;
	const holds = (what) => (one) =>
		link(`/${what}s/${one.name}`, one._count[`${what}s`], {
			'aria-label': `${plural(one._count[`${what}s`], what)} of ${one.name}`,
		});
	const list = table(
		'Environments',
		[
			['Name', (one) => link(`/environments/${one.name}`, one.name, { class: 'mono' })],
			['Display name', 'displayName'],
			['Secrets', holds('secret'), 'number'],
			['Vars', holds('var'), 'number'],
			['Created', (one) => stamp(one.createdAt)],
		],
		rows,
		emptyState(
			'No environments yet',
			add
				? 'Secrets live in environments, such as development and production.'
				: 'Ask an admin to give your account one.',
		),
	);
	return { title: 'Environments', actions: add && adding('New environment', add), element: list, add };
}
