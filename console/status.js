// The status page for the operator: health, load of the last hour, and the doctor.

import { get } from './api.js';
import { bytes, count, plural, span, stamp } from './format.js';
import {
	ago,
	alertBox,
	attended,
	badge,
	busy,
	button,
	code,
	div,
	emptyState,
	facts,
	h,
	muted,
	p,
	section,
	svg,
	table,
	why,
} from './ui.js';

const OLD_BACKUP_SECONDS = 7 * 86400;
const EVERY_MS = 10000;
const [WIDTH, HEIGHT] = [600, 120];

const ms = (number) => (number === null ? '–' : `${number < 10 ? number.toFixed(2) : Math.round(number)} ms`);

// A bar chart of the last hour, one bar per minute. A series is [class, label, values]; later
// ones are drawn in front.
function chart(title, unit, series) {
	const most = Math.max(...series.flatMap(([, , values]) => values));
	const y = (value) => HEIGHT - (value / (most || 1)) * (HEIGHT - 4);
	const step = WIDTH / series[0][2].length;
	const bar = (name) => (value, at) =>
		svg('rect', { class: name, x: at * step + 1, width: step - 2, y: y(value), height: HEIGHT - y(value) });
	const bars = series.flatMap(([name, , values]) => values.map(bar(name)));
	const about = `, last hour, peak ${unit(most)}`;
	return h(
		'figure',
		null,
		h(
			'figcaption',
			null,
			h('strong', null, title),
			muted(about),
			h(
				'span.legend',
				null,
				series.map(([name, word]) => h('span', { class: name }, word)),
			),
		),
		svg(
			'svg',
			{
				viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
				preserveAspectRatio: 'none',
				role: 'img',
				'aria-label': title + about,
			},
			...bars,
		),
	);
}

function charts(requests) {
	const pick = (name) => requests.map((minute) => minute[name]);
	const rejected = requests.map((minute) => minute.clientErrors + minute.serverErrors);
	return h(
		'div.charts',
		null,
		chart('Requests per minute', count, [
			['all', 'all', pick('total')],
			['rejected', 'rejected', rejected],
			['failed', 'failed', pick('serverErrors')],
		]),
		chart('Latency', ms, [
			['rejected', 'p99', pick('p99Ms')],
			['all', 'median', pick('p50Ms')],
		]),
	);
}

const minutes = (requests) =>
	table(
		'Requests by minute',
		[
			['Minute', (one) => stamp(one.minute).slice(11, 16)],
			['Requests', (one) => count(one.total), 'number'],
			['Rejected', (one) => count(one.clientErrors), 'number'],
			['Failed', (one) => count(one.serverErrors), 'number'],
			['Median', (one) => ms(one.p50Ms), 'number'],
			['p99', (one) => ms(one.p99Ms), 'number'],
		],
		requests.filter((minute) => minute.total).reverse(),
		'',
	);

function summary(health, { now, version, startedAt, storage, backup }, { keys, rotation }) {
	const since = (time) => (Date.parse(now) - Date.parse(time)) / 1000;
	const active = keys.find((key) => key.state === 'active');
	const made = backup.lastAt && [
		badge(...(since(backup.lastAt) > OLD_BACKUP_SECONDS ? ['warn', 'Old'] : ['good', 'Recent'])),
		' ',
		ago(backup.lastAt),
		why(bytes(backup.lastBytes)),
	];
	return facts(
		['Health', health.status === 'ok' ? badge('good', 'Healthy') : badge('bad', 'Cannot write')],
		['Version', version],
		['Started', ago(startedAt)],
		[
			'Wrapping key',
			active && [
				`#${active.id}, ${span(since(active.createdAt))} old`,
				rotation && !rotation.finishedAt && why(`rotating, ${plural(rotation.left, 'key')} left`),
			],
		],
		['Last backup', made || badge('warn', backup.scheduled ? 'No backup yet' : 'No backups, none scheduled')],
		backup.lastDownloadAt && ['Last backup download', ago(backup.lastDownloadAt)],
		[
			'Free disk space',
			[bytes(storage.freeBytes), storage.freeBytes < storage.floorBytes * 4 && [' ', badge('warn', 'Low')]],
		],
	);
}

const SEVERITIES = { ok: ['good', 'OK'], warn: ['warn', 'Warning'], error: ['bad', 'Error'] };

export async function open() {
	const [about, graphs, found, notes] = [div(), div(), h('div', { role: 'status' }), alertBox()];
	const figures = h('details', null, h('summary', null, 'Show as table'), div());
	let [timer, gone] = [];
	async function load() {
		const [health, { status }, keys] = await Promise.all([
			get('/health').catch((error) => error),
			get('/api/admin/status'),
			get('/api/admin/keys'),
		]);
		about.replaceChildren(summary(health, status, keys));
		graphs.replaceChildren(charts(status.requests));
		figures.lastChild.replaceChildren(minutes(status.requests));
	}
	const again = () => {
		timer = setTimeout(async () => {
			if (attended()) await load().then(notes.clear, notes.show);
			if (!gone) again();
		}, EVERY_MS);
	};
	const doctor = button('Run doctor', () =>
		busy(doctor, notes, async () => {
			found.replaceChildren(muted('Checking every record…'));
			const { findings } = await get('/api/admin/doctor').finally(() => found.replaceChildren());
			found.append(
				table(
					'Findings',
					[
						['Severity', (one) => badge(...SEVERITIES[one.severity])],
						['Finding', (one) => [one.what, one.remedy && why(one.remedy)]],
					],
					findings,
					emptyState('No problems found', 'Every record can be decrypted, and all records are consistent.'),
				),
			);
		}),
	);
	await load();
	again();
	const text = p(
		'Decrypts every record and checks that all records are consistent. On the server, ',
		code('coffer doctor'),
		' also checks files and the clock.',
	);
	return {
		title: 'Status',
		element: div(notes.box, about, graphs, figures, section('Doctor', text, div(doctor), found)),
		stop() {
			gone = true;
			clearTimeout(timer);
		},
	};
}
