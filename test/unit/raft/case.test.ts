// The runner of cases: it fails where it must, and says where and why.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runCase } from './case.ts';
import { parseMessage, printMessage } from './notation.ts';

const start = 'nodes 1,2,3\nelect 1\npropose 1 a\nsettle\n';

function failure(text: string): string {
  try {
    runCase('wrong.txt', text);
  } catch (error) {
    return (error as Error).message;
  }
  return 'it passed';
}

test('a wrong expectation fails with file, line and what was found instead', () => {
  assert.is(failure(`${start}expect 1 leader t1 commit=2\n`), 'it passed');
  assert.is(
    failure(`${start}\n# one\nexpect 1 leader t1 commit=3\n`),
    'wrong.txt:7: expect 1 leader t1 commit=3\n- 1 leader t1 commit=3\n+ 1 leader t1 commit=2',
  );
});

test('every kind of expectation can fail', () => {
  const wrong = [
    'expect 1 follower',
    'expect 1 t2',
    'expect 1 transferring',
    'expect 2 removed',
    'expect 2 vote=2',
    'expect 2 applied=1',
    'expect 2 last=1',
    'expect 2 leader=3',
    'expect 2 config=1,2',
    'expect 2 nonsense=1',
    'expect log 2: 1',
    'expect log 1,2: 1 1:b',
    'expect log 2: (1/1) 1:a',
    'expect reads 1: r@1',
    'expect followers 1: 2=probe@2 3=replicate@2',
    'expect snapshots 1: 2',
    'expect flight *\n  1->2 timeout-now t1',
    'propose 1 b\nexpect flight 1->2',
    'propose 2 b',
    'propose 1 b !',
    'read 2 r',
    'transfer 1 2 !',
    'change 1 add ! not-leader',
    'elect 2',
    'deliver 1->2 vote',
    'snapshot 1->2',
    'leap 1',
  ];
  for (const line of wrong) {
    const said = failure(`${start}${line}\nexpect 1 t1`);
    assert.match(said, /^wrong\.txt:[56]: /, line);
  }
});

test('messages under way are compared in their order', () => {
  const two = `${start}propose 1 b\npropose 1 c\nexpect flight 1->2\n`;
  const b = '  1->2 append t1 prev=2/1 commit=2 entries=[1:b]\n';
  const c = '  1->2 append t1 prev=3/1 commit=2 entries=[1:c]\n';
  assert.is(failure(two + b + c), 'it passed');
  assert.match(failure(two + c + b), 'in this order:');
});

test('a case that expects nothing fails', () => {
  assert.is(failure(start), 'wrong.txt: nothing is expected');
});

test('what no replica may do fails the case wherever it happens', () => {
  const forged = 'nodes 1,2,3\ndisk 1 term=1: 1:a\ndisk 2 term=1: 1:b\ntick 1\nexpect 1 t1\n';
  assert.match(failure(forged), /^wrong\.txt:3: .*the logs of 1 and 2 match at 1/s);
});

test('every kind of message reads as it is printed', () => {
  for (const text of [
    '1->2 pre-vote t3 next=4 last=5/2',
    '1->2 pre-vote.answer t3 next=4 refused',
    '1->2 vote t3 last=5/2 transfer',
    '1->2 vote.answer t3 granted',
    '1->2 append t3 prev=5/2 commit=4 entries=[2 2:a 3:{1,2+6}]',
    '1->2 append.answer t3 match=5',
    '1->2 append.answer t3 refused=5 hint=4/2',
    '1->2 heartbeat t3 commit=4 round=7',
    '1->2 heartbeat.answer t3 round=7',
    '1->2 snapshot t3 at=5/2 config=1,2,3+6',
    '1->2 timeout-now t3',
    '1->2 not-member t3 applied=5',
  ]) {
    assert.is(printMessage(parseMessage(text)), text);
  }
});

test.run();
