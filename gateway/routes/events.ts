// Events of the mesh or of one job, as a stream that resumes on any gateway, or of a job as the history in its rows.
import { Type } from 'typebox';
import { historyOf } from '../../protocol/api/history.ts';
import { EventList } from '../../protocol/api/job.ts';
import { callerIn, requires } from '../auth.ts';
import type { App, Context, Request } from '../context.ts';
import { about, JobParam, query, ResumeHeader, refusals, stream } from '../described.ts';
import { type EventPlace, feedEvents, parseEventId } from '../event-feed.ts';
import { Consistency, fresh } from '../reads.ts';
import { SseStream, sendSse } from '../sse.ts';

const RESUMES =
  'Last-Event-ID (EPOCHID.INDEX.SUB) resumes on any gateway; where its memory is too short one `gap` comes first.';

export function eventRoutes(app: App, context: Context): void {
  const { mesh, jobs } = context;
  const onRequest = requires(mesh, 'read');
  app.get(
    '/v1/events',
    {
      schema: {
        ...about({ tag: 'events', summary: 'What happens in the mesh', description: RESUMES, scope: 'read' }),
        headers: ResumeHeader,
        response: { 200: stream('Server-sent events'), ...refusals },
      },
      exposeHeadRoute: false,
      onRequest,
    },
    async (request, reply) => {
      const last = placeOf(request);
      // The client may have seen a gateway that is ahead of this one.
      if (last !== undefined) await mesh.readBarrier();
      const sse = new SseStream(context.clock);
      feedEvents(context, sse, { project: callerIn(request).key.project, jobId: null }, last);
      return sendSse(context, request, reply, sse);
    },
  );
  app.get(
    '/v1/jobs/:id/events',
    {
      schema: {
        ...about({
          tag: 'events',
          summary: 'What happens to a job',
          description: `${RESUMES} It ends with \`job.done\`. With \`Accept: application/json\`: its history so far.`,
          scope: 'read',
        }),
        headers: ResumeHeader,
        params: Type.Object(JobParam),
        querystring: query(Consistency),
        response: {
          200: {
            description: 'Server-sent events, or the history',
            content: {
              'text/event-stream': { schema: { type: 'string' } },
              'application/json': { schema: EventList },
            },
          },
          ...refusals,
        },
      },
      exposeHeadRoute: false,
      onRequest,
    },
    async (request, reply) => {
      await fresh(context, request, reply);
      const { project } = callerIn(request).key;
      const found = await jobs.find(request.params.id, project);
      if (!request.headers.accept?.includes('text/event-stream')) {
        const { job, progress, tasks } = await jobs.rows(found);
        const list: EventList = { schema: 'skein.eventlist/1', items: historyOf(job, progress, tasks), next: null };
        return reply.send(list);
      }
      const sse = new SseStream(context.clock);
      feedEvents(context, sse, { project, jobId: found.job.jobId }, placeOf(request));
      return sendSse(context, request, reply, sse);
    },
  );
}

function placeOf(request: Request): EventPlace | undefined {
  const id = request.headers['last-event-id'];
  return id === undefined || id === '' ? undefined : parseEventId(id);
}
