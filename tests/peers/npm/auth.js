// tests/peers/npm/auth.js - mailauth as a judge, a signer and a sealer, driven by lines of JSON; its lookups go to the server that is named
//
// {op: "judge", raw, dns: "address:port", ip, helo, sender} is answered by {spf, dkim: [{b, result, why}], arc, dmarc, policy, ...},
// {op: "sign", raw, ...what dkimSign takes} by {fields}, {op: "seal", raw, ...what sealMessage takes} by {fields}; {error} where it threw.
// Messages and fields are in base64.
'use strict';
const dns = require('dns');
const readline = require('readline');
const { authenticate } = require('mailauth');
const { dkimSign } = require('mailauth/lib/dkim/sign');
const { sealMessage } = require('mailauth/lib/arc');

console.log = () => {}; // mailauth prints, and stdout is for answers

const resolvers = new Map();

function resolver(server) {
	if (!resolvers.has(server)) {
		const r = new dns.promises.Resolver({ timeout: 5000, tries: 2 });
		r.setServers([server]);
		resolvers.set(server, (name, type) => r.resolve(name, type));
	}
	return resolvers.get(server);
}

async function judge(r, raw) {
	const said = await authenticate(raw, {
		ip: r.ip, helo: r.helo, sender: r.sender, mta: 'mm.test', resolver: resolver(r.dns), disableBimi: true,
	});
	return {
		spf: said.spf.status.result,
		spfWhy: said.spf.status.comment,
		dkim: said.dkim.results.map((s) => ({
			b: (s.signature || '').slice(0, 8), result: s.status.result, why: s.status.comment, short: s.status.underSized || 0,
		})),
		seals: (said.arc.chain || []).map((set) => (set['arc-seal']?.parsed?.b?.value || '').slice(0, 8)),
		arc: said.arc ? said.arc.status.result : 'none',
		arcWhy: said.arc ? said.arc.status.comment : '',
		dmarc: said.dmarc ? said.dmarc.status.result : 'none',
		policy: (said.dmarc && said.dmarc.policy) || '',
		organisation: (said.dmarc && said.dmarc.domain) || '',
		from: said.dkim.headerFrom || [],
	};
}

const OPERATIONS = {
	judge,
	sign: async (r, raw) => {
		const made = await dkimSign(raw, r.options);
		if (made.errors.length)
			throw made.errors[0].err;
		return { fields: Buffer.from(made.signatures).toString('base64') };
	},
	seal: async (r, raw) => ({ fields: (await sealMessage(raw, r.options)).toString('base64') }),
};

async function main() {
	for await (const line of readline.createInterface({ input: process.stdin })) {
		const r = JSON.parse(line);
		let answer;
		try {
			answer = await OPERATIONS[r.op](r, Buffer.from(r.raw, 'base64'));
		} catch (e) {
			answer = { error: `${e.name}: ${e.message}` };
		}
		process.stdout.write(`${JSON.stringify(answer)}\n`);
	}
}

main();
