// Loaded into the shim of a soak, beside what ships: reports the heap to whoever connects to the socket in its environment. No
// TypeScript, whose compiler would stay in the shim's memory.
"use strict";
const { createServer } = require("node:net");
const { getHeapSpaceStatistics } = require("node:v8");

// Of the serving process only: the actions end by themselves.
if (process.argv.includes("-socket")) {
  const server = createServer((connection) => {
    // The first collection lets go of what only finalizers held, the second takes it.
    for (const _ of ["once", "again"]) globalThis.gc();
    // A sandboxer's young generation keeps the pages of its busiest moment, which say nothing of what it holds.
    if (process.argv.includes("sandboxer")) globalThis.gc({ type: "major", execution: "sync", flavor: "last-resort" });
    const spaces = getHeapSpaceStatistics().map((space) => [space.space_name, space.space_used_size]);
    const handles = process.getActiveResourcesInfo();
    connection.on("error", () => {}).end(JSON.stringify({ spaces, buffers: process.memoryUsage().external, handles }));
  });
  server.listen(process.env.UVM_SHIM_TEST_HEAP_SOCKET).unref();
}
