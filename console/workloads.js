// Who gets values without anybody seeing them, and what came of it. Only reads:
// both are declared on the host.

import { at, environment, get } from './api.js';
import { ago, badge, code, div, emptyState, h, muted, section, table, why } from './ui.js';

const OUTCOMES = {
	written: ['good', 'Written'],
	unchanged: ['good', 'Up to date'],
	missing: ['bad', 'Keys are missing'],
	failed: ['bad', 'Failed'],
	pending: ['off', 'Not yet'],
};
const codes = (texts) => h('span.codes', null, texts.map(code));
const keys = (one) => (one.keys.join() === '*' ? 'All' : codes(one.keys));
const short = (key) => h('code', { title: key }, key.length > 28 ? `${key.slice(0, 16)}…${key.slice(-8)}` : key);

function command({ commandStatus: status }) {
	if (status === null) return muted('none run');
	return status === '0' ? badge('good', 'Done') : badge('bad', /^\d/.test(status) ? `Exit ${status}` : status);
}

export async function open([name]) {
	const { id, name: env } = environment(name);
	const path = at`/api/environments/${id}/`;
	const asked = [
		`${path}workloads`,
		`${path}deliveries`,
		`/api/audit-logs?environmentId=${id}&action=workload.deliver&success=true&limit=1000`,
	];
	const [{ workloads }, { deliveries }, { logs }] = await Promise.all(asked.map((one) => get(one)));
	const last = (one) => {
		const row = logs.find((other) => other.resourceName === one.name);
		return [ago(row?.createdAt, logs.length < 1000 ? 'never' : 'not lately'), row && why(`to ${row.actorName}`)];
	};
	return {
		title: 'Workloads',
		element: div(
			h(
				'p.lead',
				null,
				'Programs and files that get values, write-only ones included. They are declared in ',
				code('config.toml'),
				' on the host, and nowhere else: nobody who only has an account can enrol one.',
			),
			section(
				'Workloads',
				table(
					'Workloads',
					[
						['Name', (one) => code(one.name)],
						['Keys', keys],
						['Recipients', (one) => h('span.codes', null, one.recipients.map(short))],
						['Last delivery', last],
					],
					workloads,
					emptyState(
						`No workloads for ${env}`,
						'Declare a [[workload]] in config.toml with the key that its bundles are sealed to, and send the server SIGHUP. docs/workloads.md shows how.',
					),
				),
			),
			section(
				'Deliveries',
				table(
					'Deliveries',
					[
						[
							'Path',
							(one) => [
								code(one.path),
								why(one.template ? `from ${one.template}` : one.format, `, ${one.mode}`),
							],
						],
						[
							'Outcome',
							(one) => [
								badge(...OUTCOMES[one.outcome]),
								one.problem && why(one.problem),
								one.missingKeys.length > 0 && why('No value for ', codes(one.missingKeys)),
							],
						],
						['When', (one) => ago(one.at)],
						[
							'Keys',
							(one) =>
								Object.keys(one.versions).length
									? codes(Object.entries(one.versions).map(([key, version]) => `${key} v${version}`))
									: keys(one),
						],
						['Command', command],
					],
					deliveries,
					emptyState(
						`No files for ${env}`,
						'Declare a [[deliver]] in config.toml, and the server keeps the file up to date.',
					),
				),
			),
		),
	};
}
