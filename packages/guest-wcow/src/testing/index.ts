export { FakeWindowsGuest, windowsCapabilities } from "./fake-guest.ts";
export { SimulatedWindowsGuest } from "./simulated-guest.ts";
