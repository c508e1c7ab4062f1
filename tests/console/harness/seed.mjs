// Realistic data of a small team, for tests and screenshots that look at views. None of it
// was ever a real secret.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** An age recipient whose private key was not kept. */
const RECIPIENT = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p';

/** The name of the delivered file. */
export const OUTPUT = 'app.env';

/** Returns a config.toml with a workload and a delivered file. */
export function declared(directory) {
	const place = join(directory, 'delivered');
	mkdirSync(place, { mode: 0o700 });
	return `
[[workload]]
name = "api"
environments = ["production"]
recipients = ["${RECIPIENT}"]
keys = ["DATABASE_*", "STRIPE_*", "SESSION_KEY"]

[[deliver]]
environment = "production"
keys = ["DATABASE_*"]
path = "${join(place, OUTPUT)}"
format = "systemd"
on_change = ["true"]
`;
}

const SECRETS = [
	['DATABASE_URL', 'Primary database, read and write', true],
	['DATABASE_REPLICA_URL', 'Read replica for reports', true],
	['REDIS_URL', 'Cache and job queue', false],
	['SMTP_PASSWORD', 'Outgoing mail, relay in Frankfurt', false],
	['STRIPE_SECRET_KEY', 'Payments; rotate in the Stripe dashboard first', true],
	['STRIPE_WEBHOOK_SECRET', 'Signature of incoming webhooks', true],
	['SESSION_KEY', 'Signs cookies; a new one logs everybody out', true],
	['GITHUB_APP_PRIVATE_KEY', 'PEM of the deploy app', true],
	['SENTRY_DSN', null, false],
	['S3_ACCESS_KEY_ID', 'Bucket with uploads', false],
	['S3_SECRET_ACCESS_KEY', 'Bucket with uploads', true],
	['OPENWEATHER_API_KEY', null, false],
	['GRAFANA_ADMIN_PASSWORD', 'For the person on call', false],
	['JWT_SIGNING_KEY_FOR_THE_PARTNER_PORTAL_WITH_A_LONG_NAME', 'Signs tokens for partners; reloaded every hour', true],
];

const VARS = [
	['LOG_LEVEL', 'info', 'error, warn, info or debug'],
	['PORT', '8080', null],
	['PUBLIC_URL', 'https://app.example.org', 'Public address of the app'],
	['FEATURE_NEW_CHECKOUT', 'true', null],
	['TZ', 'Europe/Berlin', null],
];

export const SEEDED = {
	config: declared,
	variables: { COFFER_BOOTSTRAP__ENVIRONMENTS: 'production,staging,development' },
	prepare: seed,
};

export async function seed(coffer) {
	const { api } = coffer;
	for (const [key, description, neverReveal] of SECRETS) {
		await api.addSecret('production', key, `not the real ${key}`, { description, neverReveal });
		if (!key.startsWith('S')) await api.addSecret('staging', key, 'staging', { description });
	}
	for (const [key, value, description] of VARS) await api.addVar('production', key, value, description);
	for (const value of ['second', 'third']) {
		const { id } = await api.secret('production', 'REDIS_URL');
		await api.patch(`/api/secrets/${id}`, { value });
	}
	await api.set('production', { neverRevealByDefault: true });
	const ids = Object.fromEntries((await api.environments()).map(({ name, id }) => [name, id]));
	await coffer.user('operator', 'operator');
	await coffer.user('viewer', 'viewer');
	const scope = { allEnvironments: false, environmentIds: [ids.staging, ids.development] };
	const contractor = await coffer.user('contractor', 'operator', scope);
	const former = await coffer.user('former', 'viewer');
	await api.patch(`/api/users/${former.id}`, { disabled: true });
	const accounts = [];
	for (const [name, description] of [
		['deploy', 'Deploys releases'],
		['ci', 'Tests every change'],
	]) {
		const body = { name, description, role: 'operator', ...scope };
		accounts.push((await api.post('/api/admin/service-accounts', body)).serviceAccount);
	}
	for (const [name, account, expiresInDays] of [
		['deploy 2026', accounts[0], 90],
		['nightly', accounts[1], null],
	]) {
		await api.post('/api/admin/tokens', {
			name,
			ownerServiceAccountId: account.id,
			role: 'viewer',
			...scope,
			expiresInDays,
		});
	}
	await api.post('/api/admin/tokens', {
		name: 'laptop',
		ownerUserId: contractor.id,
		role: 'viewer',
		...scope,
		expiresInDays: 30,
	});
	// A rejected request, for the audit log.
	const refused = await api.secret('production', 'DATABASE_URL');
	await api.status('GET', `/api/secrets/${refused.id}/value`);
	coffer.ids = { ...ids, contractor: contractor.id, deploy: accounts[0].id };
}
