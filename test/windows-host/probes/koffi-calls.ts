/** Run under Wine: what the Windows driver needs of koffi. Prints what it found as JSON. */
import { createRequire } from "node:module";

const koffi = createRequire(new URL("../../../packages/hcs-bindings/package.json", import.meta.url))("koffi");
const kernel = koffi.load("kernel32.dll");
const currentProcessId = kernel.func("uint32_t __stdcall GetCurrentProcessId()");
const currentThreadId = kernel.func("uint32_t __stdcall GetCurrentThreadId()");

const wait = kernel.func("uint32_t __stdcall WaitForSingleObject(void *handle, uint32_t milliseconds)");
const close = kernel.func("bool __stdcall CloseHandle(void *handle)");
const threadStart = koffi.pointer(koffi.proto("uint32_t __stdcall ThreadStart(void *argument)"));
const createThread = kernel.func("CreateThread", "void *", [
  "void *",
  "size_t",
  threadStart,
  "void *",
  "uint32_t",
  "void *",
]);

const calls: string[] = [];
const callback = koffi.register(() => {
  calls.push("from a foreign thread");
  return 42;
}, threadStart);
const thread = createThread(null, 0, callback, null, 0, null);
const waited = await new Promise((resolve, reject) =>
  wait.async(thread, 10_000, (error: unknown, result: number) => (error ? reject(error) : resolve(result))),
);
close(thread);
koffi.unregister(callback);
process.stdout.write(
  JSON.stringify({ ownPid: currentProcessId() === process.pid, thread: currentThreadId() > 0, waited, calls }),
);
