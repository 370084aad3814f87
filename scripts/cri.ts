/**
 * cri SOCKET METHOD JSON: asks a container runtime over its socket as Kubernetes does, and prints the answer as JSON. Bytes
 * in it are base64. The definition is that of Kubernetes' CRI (scripts/setup).
 */
import { connect } from "node:http2";
import { connect as connectSocket } from "node:net";
import { readFileSync } from "node:fs";
import process from "node:process";
import protobuf from "protobufjs";

const definition = `/var/tmp/ocinet-cri-${
  process.getuid!()
}/usr/share/gocode/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`;
const [socket, method, asked] = process.argv.slice(2) as [string, string, string];
const { root } = protobuf.parse(readFileSync(definition, "utf8"), { keepCase: true });
const { requestType, responseType } = root.lookupService("runtime.v1.RuntimeService").methods[method]!;
const type = (name: string) => root.lookupType(`runtime.v1.${name}`);

const session = connect("http://localhost", { createConnection: () => connectSocket(socket) });
const stream = session.request({
  ":method": "POST",
  ":path": `/runtime.v1.RuntimeService/${method}`,
  "content-type": "application/grpc",
  te: "trailers",
});
// A message of gRPC has a byte that says it is not compressed, and its length, in front.
const message = type(requestType).encode(type(requestType).fromObject(JSON.parse(asked))).finish();
const head = Buffer.alloc(5);
head.writeUInt32BE(message.length, 1);
stream.end(Buffer.concat([head, message]));
const heard: Buffer[] = [];
const told: Record<string, unknown> = {};
for (const event of ["response", "trailers"]) stream.on(event, (headers) => Object.assign(told, headers));
stream.on("data", (piece: Buffer) => heard.push(piece));
await new Promise((resolve, reject) => stream.on("close", resolve).on("error", reject));
session.close();
if (told["grpc-status"] !== "0") {
  console.error(`${method}: ${decodeURIComponent(String(told["grpc-message"] ?? told["grpc-status"]))}`);
  process.exit(1);
}
const answer = type(responseType).decode(Buffer.concat(heard).subarray(5));
console.log(
  JSON.stringify(type(responseType).toObject(answer, { longs: Number, bytes: String, enums: String })),
);
process.exit(0);
