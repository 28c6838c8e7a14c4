// tests/peers/npm/record.js - what the AWS SDK's Mail Manager client puts on the wire
//
// Each line on stdin is {id, secret, region, protocol: "json" | "cbor", command, input}, answered by {raw}: the bytes of its
// request, in base64.
'use strict';
const net = require('net');
const readline = require('readline');
const mm = require('@aws-sdk/client-mailmanager');
const { SmithyRpcV2CborProtocol } = require('@smithy/core/cbor');

const ANSWER = {
	json: ['content-type: application/x-amz-json-1.0', '{}'],
	cbor: ['smithy-protocol: rpc-v2-cbor\r\ncontent-type: application/cbor', '\xa0'],
};

// Keeps what it got of a request when the head and the body that it announces are there, and answers it.
function listen(protocol) {
	const server = net.createServer((socket) => {
		let raw = Buffer.alloc(0);
		socket.on('data', (data) => {
			raw = Buffer.concat([raw, data]);
			const end = raw.indexOf('\r\n\r\n');
			const length = /^content-length: *(\d+)/im.exec(raw.toString('latin1', 0, end));
			if (end < 0 || raw.length < end + 4 + (length ? Number(length[1]) : 0))
				return;
			server.got = raw;
			const [head, body] = ANSWER[protocol];
			socket.end(Buffer.from(`HTTP/1.1 200 OK\r\n${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`, 'latin1'));
		});
	});
	return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server)));
}

async function main() {
	for await (const line of readline.createInterface({ input: process.stdin })) {
		const r = JSON.parse(line);
		const server = await listen(r.protocol);
		const settings = {
			endpoint: `http://127.0.0.1:${server.address().port}`,
			region: r.region,
			credentials: { accessKeyId: r.id, secretAccessKey: r.secret },
			maxAttempts: 1,
		};
		if (r.protocol === 'cbor')
			settings.protocol = new SmithyRpcV2CborProtocol({ defaultNamespace: 'com.amazonaws.mailmanager' });
		const client = new mm.MailManagerClient(settings);
		await client.send(new mm[r.command + 'Command'](r.input));
		client.destroy();
		server.close();
		console.log(JSON.stringify({ raw: server.got.toString('base64') }));
	}
}

main();
