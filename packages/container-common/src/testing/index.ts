export { FakeGuestProcess, FakeProcess, type StdioCount } from "./process.ts";
export { FakeReservations } from "./reservations.ts";
