// tests/peers/npm/sign.js - signs requests as @smithy/signature-v4 (the AWS SDK's) and aws4 do
//
// Each line on stdin is a request in JSON, answered by one line on stdout:
//   {signer: "smithy" | "aws4", form: "header" | "query", service, region, id, secret, at (ms), seconds,
//    method, path, query: [[name, value], ...], headers: {name: value}, body (base64)}
// -> {target, headers}: the request as that signer sends it.
'use strict';
const crypto = require('crypto');
const readline = require('readline');
const aws4 = require('aws4');
const { SignatureV4 } = require('@smithy/signature-v4');
const { HttpRequest } = require('@smithy/protocol-http');

class Sha256 {
	constructor(key) {
		this.hash = key ? crypto.createHmac('sha256', Buffer.from(key)) : crypto.createHash('sha256');
	}
	update(data) {
		this.hash.update(typeof data === 'string' ? data : Buffer.from(data));
	}
	async digest() {
		return new Uint8Array(this.hash.digest());
	}
}

const escape = (text) =>
	encodeURIComponent(text).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());

function target(path, query) {
	const pairs = [];
	for (const name of Object.keys(query))
		for (const value of [].concat(query[name]))
			pairs.push(escape(name) + '=' + escape(value));
	return path + (pairs.length ? '?' + pairs.join('&') : '');
}

function grouped(pairs) {
	const query = {};
	for (const [name, value] of pairs)
		query[name] = name in query ? [].concat(query[name], value) : value;
	return query;
}

async function smithy(r) {
	const signer = new SignatureV4({
		service: r.service,
		region: r.region,
		sha256: Sha256,
		uriEscapePath: r.service !== 's3',
		applyChecksum: true,
		credentials: { accessKeyId: r.id, secretAccessKey: r.secret },
	});
	const request = new HttpRequest({
		method: r.method,
		protocol: 'http:',
		hostname: 'unused',
		path: r.path,
		query: grouped(r.query),
		headers: r.headers,
		body: r.body.length ? new Uint8Array(r.body) : undefined,
	});
	const when = { signingDate: new Date(r.at) };
	const out = r.form === 'query' ?
		await signer.presign(request, { ...when, expiresIn: r.seconds, unhoistableHeaders: new Set(r.keep || []) }) :
		await signer.sign(request, when);
	return { target: target(out.path, out.query), headers: out.headers };
}

function withAws4(r) {
	const query = grouped(r.query);
	const time = new Date(r.at).toISOString().replace(/[:-]|\.\d{3}/g, '');
	const headers = { ...r.headers };

	if (r.form === 'query')
		Object.assign(query, { 'X-Amz-Date': time, 'X-Amz-Expires': String(r.seconds) });
	else
		headers['X-Amz-Date'] = time;
	const out = aws4.sign({
		service: r.service,
		region: r.region,
		method: r.method,
		path: target(r.path, query),
		headers: headers,
		body: r.body.length ? r.body : undefined,
		signQuery: r.form === 'query',
	}, { accessKeyId: r.id, secretAccessKey: r.secret });
	return { target: out.path, headers: out.headers };
}

async function main() {
	for await (const line of readline.createInterface({ input: process.stdin })) {
		const r = JSON.parse(line);

		r.body = Buffer.from(r.body, 'base64');
		console.log(JSON.stringify(r.signer === 'smithy' ? await smithy(r) : withAws4(r)));
	}
}

main();
