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
    const spaces = getHeapSpaceStatistics().map((space) => [space.space_name, space.space_used_size]);
    const handles = process.getActiveResourcesInfo();
    // For whoever measures the process next: the pages of its busiest moment stay resident, half empty, until a collection
    // of this kind. It lets go of compiled functions as well, which is why the heap was read before.
    globalThis.gc({ type: "major", execution: "sync", flavor: "last-resort" });
    connection.on("error", () => {}).end(JSON.stringify({ spaces, buffers: process.memoryUsage().external, handles }));
  });
  server.listen(process.env.UVM_SHIM_TEST_HEAP_SOCKET).unref();
}
