export { FakeHost, type SeenRequest, settled } from "./fake-host.ts";
export { capabilities } from "./support.ts";
