// Records the simulated run on one device: a session, and a point of it every moment, as a phone with GPS would.

import { POINTS, STEP_S, pointAt } from './course.js';
import { summary, travelled } from './track.js';
import { t } from './words.js';

/** A run of 25 minutes takes one. */
const EVERY_MS = 400;

export class Recorder {
  /** The id of the session that is being recorded here, or null. */
  session = null;
  #device;
  /** Another tab with the same device is somebody else too. */
  #tabs;
  #timer = null;

  constructor(device) {
    this.#device = device;
    // Somebody else goes on with it: two would double every point.
    device.client.on('data_updated', ({ table, data, source_device }) => {
      if (table === 'location_points' && source_device !== device.id && data.cardio_session_id) this.ended(data.cardio_session_id);
    });
    this.#tabs = new BroadcastChannel(`demo-run/${device.id}`);
    this.#tabs.onmessage = ({ data }) => this.ended(data);
  }

  start() {
    const start = Date.now() - POINTS * STEP_S * 1000;
    const session = this.#device.insert('cardio_sessions', {
      activity_type: 'running', activity_title: t('run.title'), format_title: 'free', start_time: new Date(start).toISOString(), is_running: true,
    });
    this.#record(session, start, 0);
    this.#device.did('run');
  }

  /** Goes on with a run that has so many points: one that was begun on another device, or before a reload. */
  resume({ id, start_time }, points) {
    this.#record(id, Date.parse(start_time), points);
  }

  /** Ends a run, whoever records it. */
  async end(id) {
    this.#stop();
    const points = await this.#device.client.table('location_points').where({ cardio_session_id: id });
    const track = travelled(points);
    const { metres, seconds } = summary(track);
    this.#device.update('cardio_sessions', id, {
      is_running: false, end_time: track.at(-1)?.recorded_at ?? new Date().toISOString(), duration_seconds: Math.round(seconds),
      distance_km: Math.round(metres) / 1000, average_speed_kmh: seconds ? Math.round((metres / seconds) * 360) / 100 : 0,
    });
  }

  /** Another device ended the run, deleted it, or records it now. */
  ended(id) {
    if (id === this.session) this.#stop();
  }

  close() {
    this.#stop();
  }

  #record(session, start, from) {
    this.#stop();
    this.session = session;
    this.#tabs.postMessage(session);
    let step = from;
    const record = () => {
      this.#device.insert('location_points', { ...pointAt(step++, start), cardio_session_id: session });
      if (step >= POINTS) this.end(session);
    };
    record();
    this.#timer = setInterval(record, EVERY_MS);
  }

  #stop() {
    clearInterval(this.#timer);
    this.session = null;
  }
}
