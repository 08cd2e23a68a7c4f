// Loaded into a shipped program: a shim, an emulated host or a guest agent. One call that opens or starts something fails, as
// commands on the socket in its environment ask: `count` begins to count such calls, `fail <n> <code>` makes the n-th from
// then on fail, and `report` answers with the calls so far and the one that failed.
"use strict";
const childProcess = require("node:child_process");
const { EventEmitter } = require("node:events");
const fs = require("node:fs");
const net = require("node:net");
const { constants, devNull } = require("node:os");

let calls = [];
let fault = { call: -1, code: "" };
let struck;

/** The error with which this call is to fail; undefined if it is not. */
function strike(what, subject) {
  const call = calls.push(what) - 1;
  if (call !== fault.call) return undefined;
  struck = `${what} ${subject}`;
  // The order of calls may differ from run to run; only a spawn fails with this code.
  const code = fault.code === "EAGAIN" && what !== "spawn" ? "EMFILE" : fault.code;
  return Object.assign(new Error(`${code}: made by the test, ${what} '${subject}'`), {
    ...{ code, syscall: what === "spawn" ? `spawn ${subject}` : what, errno: -1 },
  });
}

function wrap(owner, name, counts, fail) {
  const original = owner[name];
  owner[name] = function (...parameters) {
    const error = counts(...parameters) ? strike(name, parameters[0]?.path ?? parameters[0]) : undefined;
    return error === undefined ? original.apply(this, parameters) : fail.call(this, error, parameters);
  };
}

const raise = (error) => {
  throw error;
};
// Not descriptors, nor the path that is opened to check whether any are left.
const isPath = (path) => typeof path === "string" && path !== devNull;
const opens = [
  "openSync",
  "readFileSync",
  "writeFileSync",
  "appendFileSync",
  "readdirSync",
  "copyFileSync",
  "opendirSync",
];
for (const name of opens) wrap(fs, name, isPath, raise);
wrap(fs, "open", isPath, (error, parameters) => process.nextTick(parameters.at(-1), error));
for (const name of ["open", "readFile", "readdir"]) wrap(fs.promises, name, isPath, (error) => Promise.reject(error));

// Node throws some errors and reports the others by an event; the child has no streams if descriptors ran out.
const always = () => true;
wrap(childProcess, "spawn", always, (error) => {
  if (error.code === "ENOMEM") throw error;
  const child = Object.assign(new EventEmitter(), { stdio: error.code === "EAGAIN" ? [null, null, null] : undefined });
  process.nextTick(() => child.emit("error", error));
  return child;
});
// Not the connections that the event loop has accepted, nor those over a descriptor.
for (const prototype of [net.Socket.prototype, net.Server.prototype]) {
  const name = prototype === net.Socket.prototype ? "connect" : "listen";
  wrap(prototype, name, always, function (error) {
    process.nextTick(() => (name === "connect" ? this.destroy(error) : this.emit("error", error)));
    return this;
  });
}

// Calls of koffi into the system's library, in programs that use it: those that make a descriptor.
const opening = new Set(["socket", "accept4", "pipe2", "openat2", "open_tree", "fcntl"]);
const openingNumbers = new Map([
  [437, "openat2"],
  [428, "open_tree"],
]);
const F_DUPFD_CLOEXEC = 1030;
const { dlopen } = process;
process.dlopen = (module, ...parameters) => {
  dlopen.call(process, module, ...parameters);
  const koffi = module.exports;
  if (typeof koffi.load !== "function") return;
  const { load } = koffi;
  koffi.load = (...names) => {
    const library = load(...names);
    return { func: (...prototype) => failing(koffi, library.func(...prototype), String(prototype[0])) };
  };
};
function failing(koffi, call, prototype) {
  const declared = /(\w+)\(/.exec(prototype)?.[1] ?? prototype;
  return (...parameters) => {
    const name = declared === "syscall" ? (openingNumbers.get(parameters[0]) ?? "") : declared;
    const opens = opening.has(name) && (name !== "fcntl" || parameters[1] === F_DUPFD_CLOEXEC);
    const error = opens ? strike(name, "of the system's library") : undefined;
    if (error === undefined) return call(...parameters);
    koffi.errno(constants.errno[error.code]);
    return -1;
  };
}

// A serving shim, a serving emulated host, or the first process of a guest.
if (process.argv.includes("-socket") || process.argv.includes("--socket") || process.pid === 1) {
  const server = net.createServer((connection) => {
    connection.setEncoding("utf8").on("data", (line) => {
      const [command, call, code] = line.trim().split(" ");
      if (command === "report") connection.write(`${JSON.stringify({ calls, struck })}\n`);
      else {
        calls = [];
        struck = undefined;
        fault = command === "fail" ? { call: Number(call), code } : { call: -1, code: "" };
        connection.write("{}\n");
      }
    });
  });
  server.listen(process.env.UVM_SHIM_TEST_FAILING_SOCKET);
  server.unref();
}
