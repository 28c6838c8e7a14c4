// tests/peers/npm/sdk.js - the AWS SDK's Mail Manager client, driven by lines of JSON
//
// Each line on stdin is {endpoint, id, secret, region, protocol: "json" | "cbor", command, input, attempts, offset}, answered by {output} or
// {error: {name, message, status, kind}}. A time in the input is {"$time": ms}; in an answer it is the same.
'use strict';
const readline = require('readline');
const mm = require('@aws-sdk/client-mailmanager');
const { SmithyRpcV2CborProtocol } = require('@smithy/core/cbor');

const clients = new Map();

function client(r) {
	const key = JSON.stringify([r.endpoint, r.id, r.secret, r.region, r.protocol, r.attempts, r.offset]);
	if (!clients.has(key)) {
		const settings = {
			endpoint: r.endpoint,
			region: r.region || 'us-east-1',
			credentials: { accessKeyId: r.id, secretAccessKey: r.secret },
			maxAttempts: r.attempts || 1,
			systemClockOffset: r.offset || 0,
		};
		if (r.protocol === 'cbor')
			settings.protocol = new SmithyRpcV2CborProtocol({ defaultNamespace: 'com.amazonaws.mailmanager' });
		clients.set(key, new mm.MailManagerClient(settings));
	}
	return clients.get(key);
}

function toDates(value) {
	if (Array.isArray(value))
		return value.map(toDates);
	if (value === null || typeof value !== 'object')
		return value;
	if ('$time' in value)
		return new Date(value.$time);
	return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, toDates(v)]));
}

function fromDates(value) {
	if (value instanceof Date)
		return { $time: value.getTime() };
	if (Array.isArray(value))
		return value.map(fromDates);
	if (value === null || typeof value !== 'object')
		return value;
	return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, fromDates(v)]));
}

async function call(r) {
	try {
		const { $metadata, ...output } = await client(r).send(new mm[r.command + 'Command'](toDates(r.input || {})));
		return { output: fromDates(output), request: $metadata.requestId };
	} catch (e) {
		const status = e.$metadata && e.$metadata.httpStatusCode;
		// In CBOR the SDK has no class for an exception that isn't in its model.
		const name = e.name === 'Error' && e.__type ? e.__type : e.name;
		return { error: { name, message: e.message, status, modelled: e instanceof mm.MailManagerServiceException } };
	}
}

async function main() {
	for await (const line of readline.createInterface({ input: process.stdin }))
		console.log(JSON.stringify(await call(JSON.parse(line))));
}

main();
