// Every view and every dialog, and how to open it, for tests that cover all of them. Add new
// ones here.

/** The views of a seeded server; `as: null` for views without a login. */
export function views() {
	return [
		{ name: 'login', path: '/login', heading: 'Log in', as: null, allow: [401] },
		{ name: 'secrets', path: '/secrets/production', heading: 'Secrets', row: 'DATABASE_URL' },
		{ name: 'secrets-empty', path: '/secrets/development', heading: 'Secrets' },
		{ name: 'vars', path: '/vars/production', heading: 'Variables', row: 'LOG_LEVEL' },
		{ name: 'workloads', path: '/workloads/production', heading: 'Workloads', row: 'api' },
		{ name: 'environments', path: '/environments', heading: 'Environments', row: 'production' },
		{ name: 'environment', path: '/environments/production', heading: 'production' },
		{ name: 'users', path: '/users', heading: 'Users', row: 'contractor@example.org' },
		{ name: 'service-accounts', path: '/service-accounts', heading: 'Service accounts', row: 'deploy' },
		{ name: 'tokens', path: '/tokens', heading: 'Tokens', row: 'nightly' },
		{ name: 'audit', path: '/audit', heading: 'Audit log', row: 'server.start' },
		{ name: 'status', path: '/status', heading: 'Status' },
		{ name: 'account', path: '/account', heading: 'Your account' },
		{ name: 'not-there', path: '/no/such/page', allow: [404] },
	];
}

export async function show(stage, { path, heading, row }) {
	await stage.open(path, heading);
	// Skip invisible matches, such as the text of an option.
	const shown = stage.page
		.getByRole('main')
		.getByText(row ?? '')
		.filter({ visible: true });
	if (row) await shown.first().waitFor();
	await stage.page.waitForLoadState('networkidle');
}

const main = (stage) => stage.page.getByRole('main');
const secret = (key) => `/secrets/production/${key}`;

/** Opens a dialog on a fresh page and returns it. */
export const DIALOGS = {
	'secret-write-only': async (stage) => {
		await stage.open(secret('DATABASE_URL'), 'Secrets');
		return stage.dialog('DATABASE_URL');
	},
	'secret-revealable': async (stage) => {
		await stage.open(secret('REDIS_URL'), 'Secrets');
		await stage.button('Restore version 1', stage.dialog('REDIS_URL')).waitFor();
		return stage.dialog('REDIS_URL');
	},
	'secret-revealed': async (stage) => {
		const dialog = await DIALOGS['secret-revealable'](stage);
		await stage.button('Reveal value', dialog).click();
		await dialog.getByRole('region', { name: 'Value', exact: true }).waitFor();
		return dialog;
	},
	'add-secret': async (stage) => {
		await show(stage, { path: '/secrets/production', heading: 'Secrets', row: 'DATABASE_URL' });
		return stage.press('Add secret', 'Add a secret', main(stage));
	},
	'add-secret-refused': async (stage) => {
		const dialog = await DIALOGS['add-secret'](stage);
		await stage.button('Add secret', dialog).click();
		await dialog.locator('[aria-invalid=true]').first().waitFor();
		return dialog;
	},
	'add-secret-generated': async (stage) => {
		const dialog = await DIALOGS['add-secret'](stage);
		await stage.checkbox('Generate a random value', dialog).check();
		return dialog;
	},
	import: async (stage) => {
		await show(stage, { path: '/secrets/production', heading: 'Secrets', row: 'DATABASE_URL' });
		const dialog = await stage.press('Import .env', 'Import a .env file', main(stage));
		await stage.field('.env contents', dialog).fill('REDIS_URL=x\nNEW_RELIC_KEY=y\nbad line\n');
		await dialog
			.getByText(/line 3/i)
			.first()
			.waitFor();
		return dialog;
	},
	'replace-value': (stage) => within(stage, 'REDIS_URL', 'Replace value', 'Replace the value of REDIS_URL'),
	'edit-description': (stage) => within(stage, 'REDIS_URL', 'Edit description', 'Edit the description of REDIS_URL'),
	'make-write-only': (stage) => within(stage, 'REDIS_URL', 'Make write-only', 'Make REDIS_URL write-only'),
	'copy-secret': (stage) => within(stage, 'REDIS_URL', 'Copy to another environment', 'Copy REDIS_URL'),
	'delete-secret': (stage) => within(stage, 'DATABASE_URL', 'Delete secret', 'Delete DATABASE_URL'),
	'add-var': async (stage) => {
		await show(stage, { path: '/vars/production', heading: 'Variables', row: 'LOG_LEVEL' });
		await stage.button('Add variable', main(stage)).click();
		return stage.page.getByRole('dialog');
	},
	var: async (stage) => {
		await stage.open('/vars/production/LOG_LEVEL', 'Variables');
		return stage.dialog('LOG_LEVEL');
	},
	'new-environment': async (stage) => {
		await show(stage, { path: '/environments', heading: 'Environments' });
		return stage.press('New environment', 'New environment');
	},
	'delete-environment': async (stage) => {
		await show(stage, { path: '/environments/production', heading: 'production' });
		return stage.press('Delete environment', 'Delete production');
	},
	'new-user': async (stage) => {
		await show(stage, { path: '/users', heading: 'Users' });
		const dialog = await stage.press('New user', 'New user');
		await dialog.getByRole('radio', { name: 'Selected environments' }).check();
		return dialog;
	},
	user: async (stage) => {
		await stage.open(`/users/${stage.coffer.ids.contractor}`, 'Users');
		return stage.dialog('contractor@example.org');
	},
	'set-password': async (stage) => {
		const dialog = await DIALOGS.user(stage);
		return stage.press('Set password', 'Set password', dialog);
	},
	'delete-user': async (stage) => {
		const dialog = await DIALOGS.user(stage);
		return stage.press('Delete user', 'Delete contractor@example.org', dialog);
	},
	'new-service-account': async (stage) => {
		await show(stage, { path: '/service-accounts', heading: 'Service accounts' });
		return stage.press('New service account', 'New service account');
	},
	'service-account': async (stage) => {
		await stage.open(`/service-accounts/${stage.coffer.ids.deploy}`, 'Service accounts');
		return stage.dialog('deploy');
	},
	'new-token': async (stage) => {
		await show(stage, { path: '/tokens', heading: 'Tokens', row: 'nightly' });
		return stage.press('New token', 'New token');
	},
	'copy-token': async (stage) => {
		const dialog = await DIALOGS['new-token'](stage);
		await stage.field('Name', dialog).fill('laptop');
		await dialog.getByRole('radio', { name: 'All environments' }).check();
		await stage.button('Create token', dialog).click();
		return stage.dialog('Token created');
	},
	'audit-row': async (stage) => {
		await show(stage, { path: '/audit', heading: 'Audit log', row: 'server.start' });
		await main(stage).locator('tbody').getByRole('row').first().getByRole('button').click();
		return stage.page.getByRole('dialog', { name: /^Event \d+$/ });
	},
};

async function within(stage, key, button, dialog) {
	await stage.open(secret(key), 'Secrets');
	return stage.press(button, dialog, stage.dialog(key));
}
