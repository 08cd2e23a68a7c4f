/** Run under Wine: a pipe for administrators, through node:net. Prints what came back. */
import net from "node:net";

const name = String.raw`\\.\pipe\ProtectedPrefix\Administrators\uvm-shim-probe`;
const server = net.createServer((connection) => connection.pipe(connection));
server.listen(name, () => {
  const client = net.connect(name, () => client.end("through the pipe"));
  client.on("data", (data) => process.stdout.write(data)).on("close", () => server.close());
});
