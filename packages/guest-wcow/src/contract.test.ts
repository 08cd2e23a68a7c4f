import { describeWindowsGuestContract } from "./testing/contract.ts";
import { SimulatedWindowsGuest } from "./testing/simulated-guest.ts";

describeWindowsGuestContract(async () => {
  const guest = await new SimulatedWindowsGuest().connect();
  return {
    guest,
    prepareDisk: async () => [{ Id: "00000000-0000-4000-8000-000000000001", Path: "C:\\layer" }],
    close: () => guest.close(),
  };
});
