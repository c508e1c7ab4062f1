// The audit log: filters, live updates and verification. The URL holds the filters.

import { get, isAdmin, session } from './api.js';
import { plural, stamp } from './format.js';
import {
	actions,
	alertBox,
	attended,
	badge,
	busy,
	button,
	code,
	dialog,
	div,
	emptyState,
	facts,
	field,
	h,
	input,
	muted,
	select,
	table,
	why,
} from './ui.js';

const MOST_SHOWN = 500;
const EVERY_MS = 2000;
let words;

// The names of all actions, from the server's OpenAPI document.
async function loadWords() {
	words ??= (await get('/openapi.json')).components.schemas.AuditRow.properties.action.enum;
}

const result = (row) =>
	row.success
		? badge('good', 'Success')
		: [badge('bad', row.error === 'INTERNAL' ? 'Failed' : 'Rejected'), why(code(row.error))];

function details(row) {
	const known = Object.entries(JSON.parse(row.details ?? '{}')).map(([name, what]) => [
		name,
		code(typeof what === 'string' ? what : JSON.stringify(what)),
	]);
	const all = facts(
		['Time', [stamp(row.createdAt), why(row.createdAt)]],
		['Actor', row.actorName],
		['Action', code(row.action)],
		['Target', [row.resourceType, ' ', row.resourceName, why(row.resourceId ?? '')]],
		row.environmentName && ['Environment', row.environmentName],
		['Result', result(row)],
		...[
			['IP', 'ip'],
			['Request ID', 'requestId'],
			['Token ID', 'apiTokenId'],
		].map(([name, member]) => row[member] && [name, code(row[member])]),
		...known,
	);
	dialog(`Event ${row.seq}`, () => all, { wide: true });
}

export async function open() {
	const given = new URLSearchParams(location.search);
	await loadWords();
	const choice = (label, name, options) => [label, select(name, [['', 'All'], ...options], given.get(name) ?? '')];
	const time = (label, name) => {
		const at = given.get(name);
		return [label, input(name, { type: 'datetime-local', value: Date.parse(at) && stamp(at).slice(0, 16) })];
	};
	const types = [...new Set(words.map((word) => word.split('.')[0]))];
	const filters = [
		choice(
			'Environment',
			'environmentId',
			session.environments.map((one) => [one.id, one.name]),
		),
		choice('Type', 'resourceType', types),
		choice('Action', 'action', words),
		choice('Result', 'success', [
			['true', 'Success'],
			['false', 'Rejected or failed'],
		]),
		time('From', 'from'),
		time('To', 'to'),
	];
	const [place, notes, tally, chain] = [div(), alertBox(), h('p', { role: 'status' }), h('p', { role: 'status' })];
	let [rows, total, turn, mark, timer] = [[], 0, 0];

	function query(more) {
		const asked = new URLSearchParams(more);
		for (const [, { name, value, type }] of filters) {
			if (value) asked.set(name, type === 'datetime-local' ? new Date(value).toISOString() : value);
		}
		return `?${asked}`;
	}
	async function ask(more, take) {
		// Live updates do not make a pending request obsolete.
		if (more.afterSeq === undefined) turn += 1;
		const mine = turn;
		try {
			const answer = await get(`/api/audit-logs${query({ limit: 50, ...more })}`);
			if (mine !== turn) return;
			notes.clear();
			if (take(answer) !== 0) draw();
		} catch (error) {
			notes.show(error);
		}
	}
	const load = () =>
		ask({}, (answer) => {
			({ logs: rows, total } = answer);
		});
	const onchange = () => {
		history.replaceState(null, '', `/audit${query()}`);
		load();
	};
	const older = button('Load older events', () =>
		busy(older, notes, () => ask({ beforeSeq: rows.at(-1).seq }, ({ logs }) => rows.push(...logs))),
	);
	function draw() {
		const opener = (row) =>
			button(h('time', { datetime: row.createdAt }, stamp(row.createdAt)), () => details(row), {
				class: 'text',
				'aria-label': `${stamp(row.createdAt)}, event ${row.seq}`,
			});
		const had = document.activeElement.ariaLabel;
		const target = (row) => [row.resourceName ?? row.resourceId, ' ', muted(row.environmentName)];
		place.replaceChildren(
			table(
				'Audit log',
				[
					['Time', opener],
					['Actor', 'actorName', 'nowrap'],
					['Action', (row) => code(row.action), 'nowrap'],
					['Target', target, 'any'],
					['Result', result, 'nowrap'],
				],
				rows,
				emptyState('No matching events', 'Remove a filter.'),
			),
		);
		if (had) [...place.querySelectorAll('button')].find((one) => one.ariaLabel === had)?.focus();
		older.hidden = rows.length >= total;
		tally.textContent = `${rows.length} of ${plural(total, 'event')}`;
	}
	const follow = button(
		'Follow live',
		() =>
			busy(follow, notes, async () => {
				follow.ariaPressed = follow.ariaPressed !== 'true';
				if (follow.ariaPressed === 'false') return;
				// Asking only for events after this one is cheap, whatever the filters match.
				mark = (await get('/api/audit-logs?limit=1')).logs[0]?.seq ?? 0;
				await load();
				watch();
			}),
		{ 'aria-pressed': 'false' },
	);
	async function watch() {
		if (!older.ariaBusy && attended() && !document.querySelector('dialog[open]')) {
			await ask({ afterSeq: Math.max(mark, rows[0]?.seq ?? 0), limit: MOST_SHOWN }, ({ logs }) => {
				const fresh = logs.filter((row) => !(row.seq <= rows[0]?.seq));
				total += fresh.length;
				rows = [...fresh, ...rows].slice(0, Math.max(MOST_SHOWN, rows.length));
				return fresh.length;
			});
		}
		clearTimeout(timer);
		if (follow.ariaPressed === 'true') timer = setTimeout(watch, EVERY_MS);
	}
	const verify =
		isAdmin() &&
		button('Verify log', () =>
			busy(verify, notes, async () => {
				chain.replaceChildren('Verifying…');
				const { verification: found } = await get('/api/audit-logs/verification').finally(() =>
					chain.replaceChildren(),
				);
				// Retention may have removed the oldest events.
				const since = found.firstSeq > 1 ? ` since number ${found.firstSeq}` : '';
				chain.append(
					found.intact
						? badge('good', `Verified: ${plural(found.rows, 'event')}${since}, none changed or missing.`)
						: badge('bad', `Broken at event ${found.brokenSeq}: ${found.problem}. Run coffer doctor.`),
				);
			}),
		);
	await load();
	return {
		title: 'Audit log',
		actions: [follow, verify],
		element: div(
			chain,
			h(
				'div.filters',
				{ onchange },
				filters.map(([label, control]) => field(label, control)),
			),
			notes.box,
			tally,
			place,
			actions(older),
		),
		filter: filters[0][1],
		stop() {
			turn = -1;
			clearTimeout(timer);
			follow.ariaPressed = 'false';
		},
	};
}
