export { FakeRunningVm } from "./fake-running-vm.ts";
export { type CallRunner, FakeComputeService, type FakeServiceOptions } from "./fake-service.ts";
export { bootLinux, type FakeBoot, FakeSystem } from "./fake-system.ts";
