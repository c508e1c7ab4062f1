// Workloads and deliveries: who receives values without a person seeing them, and the result.
// Read-only: both are configured on the server.

import { at, environment, get } from './api.js';
import { ago, badge, code, div, emptyState, h, muted, section, table, why } from './ui.js';

const OUTCOMES = {
	written: ['good', 'Written'],
	unchanged: ['good', 'Up to date'],
	missing: ['bad', 'Missing keys'],
	failed: ['bad', 'Failed'],
	pending: ['off', 'Pending'],
};
const codes = (texts) => h('span.codes', null, texts.map(code));
const keys = (one) => (one.keys.join() === '*' ? 'All' : codes(one.keys));
const short = (key) => h('code', { title: key }, key.length > 28 ? `${key.slice(0, 16)}…${key.slice(-8)}` : key);

function command({ commandStatus: status }) {
	if (status === null) return muted('None');
	return status === '0' ? badge('good', 'Succeeded') : badge('bad', /^\d/.test(status) ? `Exit ${status}` : status);
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
		return [ago(row?.createdAt, logs.length < 1000 ? 'Never' : 'Not recently'), row && why(`to ${row.actorName}`)];
	};
	return {
		title: 'Workloads',
		element: div(
			h(
				'p.lead',
				null,
				'Programs and files that receive values. Configured in ',
				code('config.toml'),
				' on the server; they cannot be changed here.',
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
						`No workloads in ${env}`,
						'Add a [[workload]] to config.toml and reload the server. See docs/workloads.md.',
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
							'Status',
							(one) => [
								badge(...OUTCOMES[one.outcome]),
								one.problem && why(one.problem),
								one.missingKeys.length > 0 && why('Missing: ', codes(one.missingKeys)),
							],
						],
						['Last attempt', (one) => ago(one.at)],
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
						`No deliveries in ${env}`,
						'Add a [[deliver]] to config.toml and reload the server. It keeps the file up to date.',
					),
				),
			),
		),
	};
}
