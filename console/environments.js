// Environments: the list, creating, settings, deleting.

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
	const hint = 'For example staging. The name cannot be changed later.';
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
			return `Created ${made.environment.name}.`;
		},
	);
}

function remove(env) {
	const { secrets, vars } = env._count;
	const force = secrets > 0 && check('force', 'Also delete the secrets and variables');
	const contents = [secrets && plural(secrets, 'secret'), vars && plural(vars, 'variable')]
		.filter(Boolean)
		.join(' and ');
	const restored = secrets + vars === 1 ? 'it' : 'them';
	const what = contents
		? `Deletes ${contents}. Only a backup can bring ${restored} back.`
		: 'The environment is empty.';
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
		['Variables', link(`/vars/${env.name}`, env._count.vars)],
		['Created', stamp(env.createdAt)],
		['ID', code(env.id)],
	);
	const top = [env.displayName && p(env.displayName), counts];
	if (!can('environments:write'))
		return { title: env.name, element: h('div.column', null, top, p('Only admins can see the settings.')) };
	const { settings } = await get(path);
	const boxes = [
		check(
			'allowSecretReveal',
			'Allow admins to view secret values',
			{},
			'When off, nobody can view any value here. Programs still receive them.',
		),
		check('neverRevealByDefault', 'Make new secrets write-only by default', {}, 'Existing secrets do not change.'),
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
			toast('Restored the default settings.');
		}),
	);
	const saved = form(
		boxes,
		'Save settings',
		async () => {
			const now = Object.fromEntries(boxes.map(({ box }) => [box.name, box.checked]));
			fill((await api('PATCH', path, changed(now, last))).settings);
			toast('Saved the settings.');
		},
		{ also: restore },
	);
	const gone = section(
		'Delete',
		p('Permanently deletes everything in it.'),
		button('Delete environment', () => remove(env), { class: 'danger' }),
	);
	return { title: env.name, element: h('div.column', null, top, section('Settings', saved), gone) };
}

export async function open([name]) {
	if (name) return openOne(name);
	const rows = await loadEnvironments();
	const add = isAdmin() && create;
	const countOf = (kind, noun) => (one) =>
		link(`/${kind}/${one.name}`, one._count[kind], {
			'aria-label': `${plural(one._count[kind], noun)} of ${one.name}`,
		});
	const list = table(
		'Environments',
		[
			['Name', (one) => link(`/environments/${one.name}`, one.name, { class: 'mono' })],
			['Display name', 'displayName'],
			['Secrets', countOf('secrets', 'secret'), 'number'],
			['Variables', countOf('vars', 'variable'), 'number'],
			['Created', (one) => stamp(one.createdAt)],
		],
		rows,
		emptyState(
			'No environments yet',
			add
				? 'Secrets belong to environments, such as development and production.'
				: 'Ask an admin for access to one.',
		),
	);
	return { title: 'Environments', actions: add && adding('New environment', add), element: list, add };
}
