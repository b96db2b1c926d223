// An app as it starts; the test hands in what the phone has.
import { RyzeRealtimeClient } from 'ryzed-client';
import { expoStorage, opStorage } from 'ryzed-client/expo';
import { keyValueStorage } from 'ryzed-client/key-value';

globalThis.app = {
  storages: [expoStorage, opStorage],
  start: (url, token, store) => new RyzeRealtimeClient(url, { token, deviceType: 'mobile', storage: keyValueStorage(store) }),
};
