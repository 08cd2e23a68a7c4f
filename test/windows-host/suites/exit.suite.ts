/** Run under Wine: what is outstanding does not hold up the end of the process, which follows this suite. */
import { vsockServiceGuid } from "@uvm-shim/hcs-schema";
import { expect, it } from "vitest";
import { WindowsHvsockets } from "../../../packages/hcs-bindings/src/windows/io/hvsocket.ts";
import { winsockFunctions } from "../../../packages/hcs-bindings/src/windows/native/winsock-functions.ts";
import { system } from "./system-under-test.ts";

it("leaves a listener open", async () => {
  const winsock = system.machine.library(system.paths.winsock, winsockFunctions);
  const sockets = await WindowsHvsockets.open(system.machine, winsock, system.port);
  const listener = await sockets.listen("e0e16197-dd56-4a10-9195-5ee7a155a838", vsockServiceGuid(4001));
  expect(listener.port).toBe(4001);
  void listener.accept();
});
