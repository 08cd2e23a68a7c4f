import { contractDevice, describeVpciContract } from "./testing/contract.ts";
import { FakeVpciVm } from "./testing/index.ts";

describeVpciContract("the fake of this package's tests", async () => {
  const vm = new FakeVpciVm(undefined, new Map([[contractDevice, 2]]));
  return { host: vm, guest: vm, dispose: async () => {} };
});
